"""What a publisher can serve: one module a kind of source, all behind the contract in `base`."""
