"""Broker, publisher and subscriber: pure state machines, and a thin shell around each."""
