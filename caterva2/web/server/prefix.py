"""The path below which a proxy offers a subscriber: ``/data`` of ``https://lab.example/data``."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Collection

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from caterva2.errors import ConfigError

_PREFIX = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*){1,16}")
_LENGTH = 200
_OWN_PLACE = re.compile(rb"/(?![/\\])")
_COOKIE_PATH = re.compile(rb"(?i)(;\s*path=)/([^;]*)")
Headers = list[tuple[bytes, bytes]]


class Prefix:
    """A prefix of all paths; an empty one is none.

    Parameters
    ----------
    text : str
        ``/data``; a slash at the end does not matter.
    taken : collection of str
        First parts of paths that a server has without a prefix: a prefix that begins with one
        could be either.

    Raises
    ------
    ConfigError
        If the text can't be one.
    """

    def __init__(self, text: str, taken: Collection[str] = ()) -> None:
        self.text = text.rstrip("/")
        if self.text and (len(text) > _LENGTH or not _PREFIX.fullmatch(self.text)):
            raise ConfigError(
                f"[subscriber] prefix: {text[:_LENGTH]!r} is not a path such as /data, of letters, "
                f"digits and -._~, {_LENGTH} characters at most"
            )
        first = self.text.split("/")[1] if self.text else ""
        if first in taken:
            raise ConfigError(f"[subscriber] prefix: /{first} is a path of the subscriber itself")
        self.raw = self.text.encode()

    def __bool__(self) -> bool:
        return bool(self.text)

    def without(self, target: bytes) -> bytes:
        """Return a target without the prefix; a proxy may have removed it already.

        All of a repeated prefix is removed: Starlette's router passes over ``root_path`` itself, so
        checks in front of it would look at another path than the one that is served.
        """
        while self.raw and target.startswith(self.raw):
            rest = target[len(self.raw) :]
            if rest[:1] not in (b"", b"?", b"/"):
                break
            target = rest if rest[:1] == b"/" else b"/" + rest
        return target

    def added(self, place: bytes) -> bytes:
        """Return a path on this server with the prefix, which it may have already."""
        if not _OWN_PLACE.match(place) or self.without(place) != place:
            return place
        return self.raw + place


NO_PREFIX = Prefix("")


class Prefixed:
    """Remove the prefix from what is asked, and add it to redirections and paths of cookies.

    The application finds it as ``root_path``, for what it writes into bodies.

    Parameters
    ----------
    app : ASGIApp
    prefix : Prefix
    """

    def __init__(self, app: ASGIApp, prefix: Prefix) -> None:
        self._app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = self._prefix.without(scope["path"].encode()).decode()
        raw = self._prefix.without(scope.get("raw_path") or b"")
        inner = {**scope, "path": path, "raw_path": raw, "root_path": self._prefix.text}

        async def prefixed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [self._header(path, *header) for header in message["headers"]]
                message = {**message, "headers": headers}
            await send(message)

        await self._app(inner, receive, prefixed)

    def _header(self, path: str, name: bytes, value: bytes) -> tuple[bytes, bytes]:
        if name.lower() == b"location":
            return name, self._prefix.added(_relative(value, path))
        if name.lower() == b"set-cookie":
            return name, _COOKIE_PATH.sub(self._cookie_path, value)
        return name, value

    def _cookie_path(self, found: re.Match[bytes]) -> bytes:
        return found[1] + self._prefix.raw + (b"/" + found[2] if found[2] else b"")


def _relative(location: bytes, path: str) -> bytes:
    """Return a redirection to the path that was asked for, but for a slash at its end, as a path.

    Starlette makes an absolute URL of that; others lead to other servers.
    """
    try:
        parts = urllib.parse.urlsplit(location)
    except ValueError:
        return location
    if not parts.netloc or urllib.parse.unquote(parts.path.decode()).strip("/") != path.strip("/"):
        return location
    return urllib.parse.urlunsplit((b"", b"", parts.path, parts.query, b""))
