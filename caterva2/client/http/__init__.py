"""HTTP: connections, requests on them, and uploads."""
