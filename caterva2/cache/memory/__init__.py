"""The parts of replicas in memory: chunks that the disk does not take, sparse chunks, maps."""
