"""The subscriber's sparse replicas of datasets: kept on disk, filled as chunks arrive."""
