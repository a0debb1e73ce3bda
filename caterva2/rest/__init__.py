"""The HTTP contract: media types, stream format and answer models that web and client share."""
