"""Authentication of ZeroMQ connections: who may connect, and in which role."""
