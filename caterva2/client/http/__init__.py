"""HTTP requests of the client: connections, retries, sessions and uploads."""
