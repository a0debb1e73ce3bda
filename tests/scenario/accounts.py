"""A subscriber with accounts, and a root that only users may read."""

from __future__ import annotations

import caterva2
from tests.conftest import Stack, eventually, example_root

ANN, SUPER = "ann@example.com", "super@example.com"
WORD, SUPERWORD = "correct-horse-ann", "correct-horse-super"
SECRET = "a-secret-that-keeps-sessions"
SETTINGS = '[subscriber]\nread = "users"\n[limits.accounts]\nknown_for = 0.5\n'


def start_with_accounts(stack: Stack) -> None:
    """Start all services, with a user and a superuser; root ``foo`` is for users."""
    stack.secret = SECRET
    stack.configure(SETTINGS)
    stack.add_user(ANN, WORD)
    stack.add_user(SUPER, SUPERWORD, "--superuser")
    stack.start_broker()
    stack.start_publisher("foo", example_root())
    stack.start_subscriber()
    eventually(lambda: as_ann(stack).subscribe("foo") == "Ok")


def as_ann(stack: Stack) -> caterva2.Client:
    """The client of a user."""
    return caterva2.Client(stack.url, (ANN, WORD))


def as_super(stack: Stack) -> caterva2.Client:
    """The client of a superuser."""
    return caterva2.Client(stack.url, auth=(SUPER, SUPERWORD))
