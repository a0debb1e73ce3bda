"""The publisher: holds a root's lease, serves its chunks, announces its changes."""
