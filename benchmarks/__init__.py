"""How fast it all is, beside what the machine could do: ``bin/bench`` writes it down."""
