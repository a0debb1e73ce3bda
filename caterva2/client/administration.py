"""A user's own session and password, and the users of a subscriber."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from caterva2.client.http.transport import Transport
from caterva2.errors import BadRequest, CatervaError


class Administration:
    """What a client does with accounts."""

    _transport: Transport

    def _json(
        self, kind: type[Any], method: str, path: str,
        query: dict[str, str] | None = None, body: bytes | None = None,
    ) -> Any: ...  # fmt: skip

    def login(self) -> None:
        """Log in now; else it is done when something is asked for."""
        self._transport.user().token()

    def logout(self) -> None:
        """End the session; the next request begins another one."""
        session = self._transport.session
        if session is not None and session.begun:
            with contextlib.suppress(CatervaError):  # it ends by itself
                self._transport.request("POST", "auth/jwt/logout")
            session.end()

    def change_password(self, password: str) -> None:
        """Set another password for oneself; all other sessions end."""
        session = self._transport.user()
        user, old = session.auth
        body = json.dumps({"password": old, "new_password": password}).encode()
        with self._transport.stream("POST", "api/password/", body=body) as response:
            session.keep(response, (user, password))

    def adduser(self, username: str, password: str | None = None, superuser: bool = False) -> str:
        """Add a user, as a superuser.

        Parameters
        ----------
        username : str
            An e-mail address.
        password : str
        superuser : bool
            Whether the user may administer users too.

        Returns
        -------
        str
            What was done.
        """
        if password is None:
            raise BadRequest(f"a password is needed to add {username}")
        told = {"username": username, "password": password, "superuser": superuser}
        body = json.dumps(told).encode()
        done: str = self._json(str, "POST", "api/adduser/", body=body)
        return done

    def deluser(self, username: str) -> str:
        """Delete a user and all that belongs to the user, as a superuser; what was done."""
        done: str = self._json(str, "DELETE", f"api/deluser/{username}")
        return done

    def listusers(self, username: str | None = None) -> list[dict[str, Any]]:
        """All users, or the one of that name: ``id email is_superuser is_active is_verified``."""
        query = None if username is None else {"username": username}
        users: list[dict[str, Any]] = self._json(list, "GET", "api/listusers/", query)
        return users
