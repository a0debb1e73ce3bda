"""Settings that are valid each, and senseless together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from caterva2.config.sizes import parse_size

_ANY_PORT = ":0"


def found(settings: Any) -> Iterator[str]:
    """Yield what contradicts itself in the settings of one section."""
    given: set[str] = settings.model_fields_set

    def has(*names: str) -> bool:
        return all(getattr(settings, name, None) for name in names)

    if has("insecure") and getattr(settings, "curve", "") == "required":
        yield "insecure = true is for a service without keys, and curve = 'required' asks for keys"
    if has("token", "password"):
        yield "a client logs in with a token or with a password: leave one of them out"
    if hasattr(settings, "xsub"):
        yield from _same_ports(settings)
    if not getattr(settings, "broker", "none") and has("broker_key"):
        yield "broker_key is the key of a broker, and broker = '' says that there is none"
    for name in ("upstream_token_file", "upstream_ca_file", "upstream_readers"):
        if has(name) and not has("upstream"):
            yield f"{name} is for an upstream, and upstream names none"
    if has("ssl_certfile") and getattr(settings, "workers", 1) > 1:
        yield "workers serve without TLS: end it in a proxy, and leave out ssl_certfile"
    if has("advertise") and not getattr(settings, "dask", "none"):
        yield "advertise is for the workers of a cluster, and dask names none"
    if hasattr(settings, "publish") and not settings.publish:
        for name in ("publish_to", "publish_advertise", "pin", "follow", "insecure"):
            if has(name):
                yield f"{name} is for roots that are served again, and publish names none"
    if has("registering", "oidc") and settings.oidc.groups_claim:
        yield "register = true lets strangers take addresses to which groups_claim gives groups"
    if {"quota", "user_quota"} <= given and has("quota", "user_quota"):
        whole, part = parse_size(settings.quota), parse_size(settings.user_quota)
        if part > whole:
            yield f"user_quota = {settings.user_quota} is more than quota = {settings.quota}"


def _same_ports(broker: Any) -> Iterator[str]:
    addresses = [broker.endpoint, broker.xsub, broker.xpub]
    counts = Counter(text for text in addresses if text and not text.endswith(_ANY_PORT))
    for address, count in counts.items():
        if count > 1:
            yield f"endpoint, xsub and xpub are sockets of their own: {address} is used twice"
