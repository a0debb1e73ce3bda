"""The events of an upstream, out of the lines of its stream. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import NamedTuple

from caterva2.errors import BadMessage, BadName
from caterva2.names import RootName

_LINE = 64 * 1024
"""Bytes of a line: events name a root and a path."""


class Seen(NamedTuple):
    """An event: ``roots``, ``change`` or ``lost``, and the root that it is about."""

    name: str
    root: RootName


class EventLines:
    """Take a stream of server-sent events apart, piece by piece."""

    def __init__(self) -> None:
        self._rest = b""
        self._name = ""

    def feed(self, piece: bytes) -> Iterator[Seen]:
        """Yield the events that end in a piece; those that can't be read are left out.

        Raises
        ------
        BadMessage
            If a line has no end.
        """
        *lines, self._rest = (self._rest + piece).split(b"\n")
        if len(self._rest) > _LINE:
            raise BadMessage(f"the upstream sends a line of more than {_LINE} bytes as an event")
        for line in lines:
            field, _, value = line.strip().partition(b":")
            if field == b"event":
                self._name = value.strip().decode("ascii", "replace")
            elif field == b"data" and (root := _root_of(value)) is not None:
                yield Seen(self._name, root)


def _root_of(data: bytes) -> RootName | None:
    try:
        return RootName(json.loads(data)["root"])
    except (ValueError, KeyError, TypeError, RecursionError, BadName):
        return None
