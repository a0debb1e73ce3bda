"""Serving processes of a subscriber: they answer small slices that are cached, and nothing else.

The subscriber itself, the core, accepts connections. One that asks for what a worker may answer
is lent to it: its descriptor is passed through a socket. With a request that the worker can't
answer by itself it comes back, with the bytes that were received. So nothing of HTTP is relayed.
"""
