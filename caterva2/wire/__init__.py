"""The wire protocol, version 1: messages, their encoding, sockets and requests.

``docs/protocol.md`` is the specification.
"""
