"""Commands that administer accounts."""

from __future__ import annotations

import sys
from argparse import Namespace
from typing import Any

from caterva2.cli.terminal import output, passwords
from caterva2.cli.terminal.output import Output
from caterva2.client.client import Client
from caterva2.errors import ConfigError
from caterva2.runtime.printable import printable


def adduser(client: Client, options: Namespace) -> Output:
    """Add a user, whose password is read from the terminal or standard input."""
    client.login()  # before the new password is typed
    password = passwords.new(f"Password of {printable(options.user)}: ")
    done = client.adduser(options.user, password, options.superuser)
    return Output(done, lambda: printable(done))


def deluser(client: Client, options: Namespace) -> Output:
    """Delete a user, after a confirmation."""
    name = printable(options.user)
    if not options.yes:
        if not sys.stdin.isatty():
            raise ConfigError(f"--yes is needed to delete {name} and all their data")
        question = f"Delete {name} and all their data? [y/N] "
        print(question, end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() != "y":
            return Output(None, lambda: "Nothing was deleted")
    done = client.deluser(options.user)
    return Output(done, lambda: printable(done))


def listusers(client: Client, options: Namespace) -> Output:
    """List users."""
    users = client.listusers(options.user)
    shown = (user["email"] + (" (superuser)" if user["is_superuser"] else "") for user in users)
    return Output(users, lambda: output.lines(shown))


def passwd(client: Client, _: Namespace) -> Output:
    """Change the user's own password."""
    client.login()
    client.change_password(passwords.new("New password: "))
    return Output("Ok", lambda: "The password was changed")


def token(client: Client, options: Namespace) -> Output:
    """Make, list or revoke API tokens."""
    if options.action == "list":
        known = client.get_tokens()
        return Output(known, lambda: output.lines(map(_shown, known)))
    if not options.name:
        what = "a name" if options.action == "new" else "the ID that list shows"
        raise ConfigError(f"cat2cli token {options.action}: {what} is needed")
    if options.action == "revoke":
        done = client.revoke_token(options.name)
        return Output(done, lambda: f"{printable(options.name)} is revoked")
    made = client.make_token(
        options.name, options.roots or ["*"], write=options.write, manage=options.manage,
        days=options.days,
    )  # fmt: skip
    return Output(made, lambda: str(made["token"]))


def _shown(token: dict[str, Any]) -> str:
    rights = [name for name in ("write", "manage") if token[name]]
    used = token["used"][:16] if token["used"] else "never"
    return (
        f"{token['id']}  {token['name']}: {', '.join(token['roots'])}"
        f"{' '.join(['', *rights])}, until {token['expires'][:10]}, used {used}"
    )
