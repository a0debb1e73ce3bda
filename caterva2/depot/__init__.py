"""The client's own cache: replicas and descriptions on this machine, which its processes share.

It is loaded only by a client that was asked for a cache.
"""
