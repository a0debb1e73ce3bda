"""Keys of services: who may connect over ZeroMQ, and in which role."""
