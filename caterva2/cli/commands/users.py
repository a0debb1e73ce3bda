"""Commands that administer accounts."""

from __future__ import annotations

import sys
from argparse import Namespace

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
