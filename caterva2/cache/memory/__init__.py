"""What is held in memory of replicas: chunks that the disk does not take, parts, maps."""
