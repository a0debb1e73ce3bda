"""The Python client of a subscriber."""

from __future__ import annotations

from caterva2.client.client import Client
from caterva2.client.objects import Dataset, File, Root
from caterva2.client.transport import HttpError, Unreachable

__all__ = ["Client", "Dataset", "File", "HttpError", "Root", "Unreachable"]
