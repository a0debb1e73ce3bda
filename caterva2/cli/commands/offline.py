"""What may be done where the subscriber can't be reached."""

from __future__ import annotations

from caterva2.client.client import Client
from caterva2.depot import place


def advice(client: Client) -> str:
    """Return the end of an error: whether something of the subscriber is in the user's cache."""
    known = any(
        one["url"] == client.urlbase.rstrip("/")
        for one in place.owners(place.user_directory()).values()
    )
    if client.transport.kept.active or not known:
        return ""
    return "; what is in the cache of this machine is shown with CATERVA2_CACHE=1"
