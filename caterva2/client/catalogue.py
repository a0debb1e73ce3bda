"""What a subscriber has, without its data: this needs neither numpy nor Blosc2."""

from __future__ import annotations

import os
from typing import Any, Self

from caterva2.client.administration import Administration
from caterva2.client.arranging import Arranging, RemotePath
from caterva2.client.http.connections import Unreachable
from caterva2.client.http.session import Auth
from caterva2.client.http.transport import TIMEOUT, Transport

DEFAULT_URL = "http://127.0.0.1:8002"


class Catalogue(Administration, Arranging):
    """The roots of a subscriber, and what is in them.

    Parameters
    ----------
    urlbase, auth, timeout
        As those of `Client`, which gets data too.
    """

    def __init__(
        self, urlbase: str | None = None, auth: Auth | None = None, timeout: float = TIMEOUT
    ) -> None:
        chosen = urlbase or os.environ.get("CATERVA2_URL") or DEFAULT_URL
        self._transport = Transport(chosen, timeout, auth)

    @property
    def urlbase(self) -> str:
        return self._transport.urlbase

    def close(self) -> None:
        """Close the connections that are kept open for the next request."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.urlbase}>"

    def get_roots(self) -> dict[str, dict[str, Any]]:
        """All roots by name, with ``http`` (the publisher) and ``subscribed``."""
        roots: dict[str, dict[str, Any]] = self._json(dict, "GET", "api/roots")
        return roots

    def subscribe(self, root: str) -> str:
        """Have the subscriber follow a root; ``"Ok"``."""
        answer: str = self._json(str, "POST", f"api/subscribe/{root}")
        return answer

    def unsubscribe(self, root: str) -> str:
        """Have the subscriber follow a root no more, and keep what is cached; ``"Ok"``."""
        answer: str = self._json(str, "DELETE", f"api/subscribe/{root}")
        return answer

    def get_list(self, path: RemotePath) -> list[str]:
        """Paths of the files below a root or directory, relative to it."""
        names: list[str] = self._json(list, "GET", f"api/list/{path}")
        return names

    def get_info(self, path: RemotePath) -> dict[str, Any]:
        """All that the subscriber tells about a dataset, a file or a directory."""
        info: dict[str, Any] = self._json(dict, "GET", f"api/info/{path}")
        return info

    def get_members(self, path: RemotePath) -> dict[str, dict[str, Any]]:
        """What `get_info` tells of all datasets below a root or directory, in few requests.

        Paths are relative to it. A dataset that can't be described has only the key ``error``.
        """
        members: dict[str, dict[str, Any]] = {}
        after: str | None = ""
        while after is not None:
            query = {"after": after} if after else {}
            page = self._json(dict, "GET", f"api/members/{path}", query)
            members |= page["members"]
            after = page["after"]
        return members

    def get_download_url(self, path: RemotePath) -> str:
        """Where a browser gets the whole file."""
        return self._transport.url(f"api/download/{path}")

    def prefetch(self, path: RemotePath) -> dict[str, Any]:
        """Have the subscriber fetch a dataset, directory or root as a whole, and not wait for it.

        Returns
        -------
        dict
            The job: its ``state`` (``waiting``, ``running``, ``done``, ``failed`` or
            ``cancelled``), the number of ``datasets`` and how many are ``done`` or ``failed``,
            and how many of ``nchunks`` are ``cached``.
        """
        job: dict[str, Any] = self._json(dict, "POST", f"api/prefetch/{path}")
        return job

    def get_prefetch(self, path: RemotePath) -> dict[str, Any]:
        """How far a prefetch is, as `prefetch` tells it."""
        job: dict[str, Any] = self._json(dict, "GET", f"api/prefetch/{path}")
        return job

    def cancel_prefetch(self, path: RemotePath) -> dict[str, Any]:
        """End a prefetch; what it fetched stays."""
        job: dict[str, Any] = self._json(dict, "DELETE", f"api/prefetch/{path}")
        return job

    def _json(
        self, kind: type[Any], method: str, path: str,
        query: dict[str, str] | None = None, body: bytes | None = None,
    ) -> Any:  # fmt: skip
        # What we ask for without a body may be asked twice.
        repeatable = body is None
        found = self._transport.request(
            method, path, query, body=body, repeatable=repeatable
        ).json()
        if not isinstance(found, kind):
            raise Unreachable(f"{self.urlbase} answered {path} by {type(found).__name__}")
        return found
