"""Accounts: logins of the client, and the administration of users."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from caterva2.client import login
from caterva2.client.transport import Transport
from caterva2.errors import BadRequest
from caterva2.rest import paths
from caterva2.rest.paths import relative


class Accounts:
    """Calls of users about themselves and, of superusers, about others.

    Attributes
    ----------
    transport : Transport
    """

    transport: Transport

    def login(self, password: str | None = None) -> None:
        """Log in now, not with the first request; a client that was pickled needs a password."""
        session = self.transport.user()
        session.token() if password is None else session.restart(password)

    def logout(self) -> None:
        """End the session; the next request begins another one."""
        login.log_out(self.transport)

    def change_password(self, password: str) -> None:
        """Set another password for this user; all other sessions end."""
        login.change_password(self.transport, password)

    def adduser(self, username: str, password: str | None = None, superuser: bool = False) -> str:
        """Add a user, as a superuser; return a confirmation.

        Parameters
        ----------
        username : str
            An e-mail address.
        password : str
        superuser : bool
            Whether the user may administer users too.
        """
        if password is None:
            raise BadRequest(f"a password is needed to add {username}")
        body = {"username": username, "password": password, "superuser": superuser}
        return self.transport.json(str, "POST", relative(paths.ADD_USER), None, body)

    def deluser(self, username: str) -> str:
        """Delete a user and all their data, as a superuser; return a confirmation."""
        return self.transport.json(str, "DELETE", relative(paths.DELETE_USER, username))

    def change_user(
        self, username: str, *, password: str | None = None, active: bool | None = None
    ) -> dict[str, Any]:
        """Set a user's password, or disable or enable the account, as a superuser.

        Parameters
        ----------
        username : str
        password : str, optional
            The new one; all sessions of the user end.
        active : bool, optional
            Whether the user can log in. Sessions, tokens and open streams of a disabled one end.

        Returns
        -------
        dict
            The account as it is now.
        """
        body = {"password": password, "active": active}
        return self.transport.json(dict, "POST", relative(paths.USER, username), None, body)

    def listusers(self, username: str | None = None) -> list[dict[str, Any]]:
        """Return all users, or one: ``id email is_superuser is_active is_verified``."""
        query = None if username is None else {"username": username}
        return self.transport.json(list, "GET", relative(paths.LIST_USERS), query)

    def get_tokens(self) -> list[dict[str, Any]]:
        """Return the user's API tokens, the oldest first.

        Each has ``id name roots write manage created expires used``; the token itself is known to
        its holder only.
        """
        return self.transport.json(list, "GET", relative(paths.TOKENS))

    def make_token(
        self, name: str, roots: Sequence[str] = ("*",), *, write: bool = False,
        manage: bool = False, days: float | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """Make an API token; it is in ``token`` of what is returned, and never shown again.

        Parameters
        ----------
        name : str
            What it is for.
        roots : sequence of str
            Names of roots, or patterns of names such as ``climate-*``, that it may see.
        write : bool
            Whether it may change special roots and subscriptions.
        manage : bool
            Whether it may make and revoke tokens and, of a superuser, administer accounts.
        days : float, optional
            Until it expires; by default as the subscriber says.
        """
        body = {
            "name": name, "roots": list(roots), "write": write, "manage": manage, "days": days
        }  # fmt: skip
        return self.transport.json(dict, "POST", relative(paths.TOKENS), None, body)

    def revoke_token(self, ident: str) -> str:
        """Revoke an API token by its ``id``, with those made by it; return ``"Ok"``."""
        return self.transport.json(str, "DELETE", relative(paths.TOKEN, ident))
