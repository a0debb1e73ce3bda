"""API tokens: requests made with one, without a login."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import replace
from typing import Self

from caterva2.client.http.connections import Address
from caterva2.client.login import URL
from caterva2.client.transport import Request, Response, Transport
from caterva2.errors import BadRequest, LoginNeeded
from caterva2.limits.constants import TOKEN_PREFIX
from caterva2.rest.session import BEARER

TOKEN = "CATERVA2_TOKEN"  # noqa: S105 - the name of a variable
"""The token of the environment, for the subscriber of ``CATERVA2_URL`` or this machine's only."""
_TOKEN = re.compile(rf"{TOKEN_PREFIX}[A-Za-z0-9_-]{{20,100}}")


class TokenTransport(Transport):
    """A transport that adds an API token to what another one sends.

    Parameters
    ----------
    inner : Transport
    token : str
        Empty for that of the environment, where this was pickled: a token is not.

    Raises
    ------
    BadRequest
        If it is no token. The message does not repeat it.
    LoginNeeded
        If there is none.
    """

    def __init__(self, inner: Transport, token: str) -> None:
        self._inner = inner
        self.urlbase = inner.urlbase
        self.limits = inner.limits
        self._token = token or _known(inner.urlbase)
        if not _TOKEN.fullmatch(self._token):
            raise BadRequest(f"the token is none: it begins with {TOKEN_PREFIX}")

    @property
    def digest(self) -> str:
        """A name for the token that does not show it."""
        return hashlib.blake2b(self._token.encode(), digest_size=16).hexdigest()

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle no token."""
        return (type(self), (self._inner, ""))

    def __deepcopy__(self, _: object) -> Self:
        return self  # the token stays with a copy in this process

    def url(self, path: str) -> str:
        return self._inner.url(path)

    def exchange(self, request: Request) -> Response:
        headers = {**request.headers, "Authorization": BEARER + self._token}
        return self._inner.exchange(replace(request, headers=headers))

    def close(self) -> None:
        self._inner.close()


def of_environment(urlbase: str, default: str) -> str:
    """Return the token of the environment if it is for this subscriber; empty otherwise."""
    token = os.environ.get(TOKEN, "")
    where = os.environ.get(URL) or default
    return token if token and where and Address.parse(where) == Address.parse(urlbase) else ""


def _known(urlbase: str) -> str:
    token = of_environment(urlbase, "")
    if not token:
        raise LoginNeeded(
            f"no token for {urlbase}: a client is pickled without it; set {URL} and {TOKEN} in the "
            "environment of this process"
        )
    return token
