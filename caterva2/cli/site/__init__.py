"""A whole site on one machine: broker, publishers and subscriber as one tree of processes."""
