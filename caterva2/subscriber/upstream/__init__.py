"""Another subscriber, whose roots are taken over HTTP where no socket of ZeroMQ reaches them."""
