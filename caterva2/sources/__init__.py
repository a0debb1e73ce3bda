"""What a publisher can serve: one module or folder a kind of source, behind `base.Source`."""
