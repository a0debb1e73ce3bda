"""``caterva2.toml``: settings and limits, frozen, and refused where they make no sense."""

from caterva2.config.file import FILE
from caterva2.config.limits import load_limits
from caterva2.config.settings import (
    SECRET,
    SECTIONS,
    BrokerSettings,
    ClientSettings,
    KeySettings,
    PublisherSettings,
    Readers,
    RootSettings,
    S,
    Settings,
    SubscriberSettings,
    idents,
    load,
)
from caterva2.config.sizes import parse_size

__all__ = [
    "FILE",
    "SECRET",
    "SECTIONS",
    "BrokerSettings",
    "ClientSettings",
    "KeySettings",
    "PublisherSettings",
    "Readers",
    "RootSettings",
    "S",
    "Settings",
    "SubscriberSettings",
    "idents",
    "load",
    "load_limits",
    "parse_size",
]
