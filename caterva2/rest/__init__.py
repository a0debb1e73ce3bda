"""The HTTP contract: paths, media types, bodies, the stream format; for web and client alike.

Answers are typed dictionaries, since a key that is absent means something else than null, and
making one costs nothing. Bodies of requests are pydantic models, since they are validated. The
OpenAPI document is derived from both.
"""
