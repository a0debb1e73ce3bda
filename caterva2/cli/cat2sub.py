"""``cat2sub``: a subscriber, with its REST interface."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
from pathlib import Path

import uvloop

from caterva2 import limits
from caterva2.access.user_view import UserViews
from caterva2.accounts import hashing
from caterva2.accounts import settings as account_settings
from caterva2.accounts.accounts import AccountOptions, Accounts
from caterva2.accounts.identity import Email, Password
from caterva2.accounts.policy import Policy
from caterva2.accounts.store import FILE, AccountStore, UserExists
from caterva2.cache import check as checking
from caterva2.cli import arguments
from caterva2.cli.terminal import passwords
from caterva2.config import SECRET, SubscriberSettings, parse_size
from caterva2.errors import StartError
from caterva2.runtime import service
from caterva2.runtime.statedir import StateDir
from caterva2.runtime.tasks import cancel_all
from caterva2.special.roots import SPACES, SpecialRoots
from caterva2.subscriber.service import CACHE, Subscriber, SubscriberOptions
from caterva2.web.app import make_app
from caterva2.web.server.http import HttpServer
from caterva2.wire.sockets import Address


class SubscriberService:
    """A subscriber, its accounts, and the HTTP server over them, as one service."""

    def __init__(
        self, options: SubscriberOptions, http: str, accounts: AccountOptions | None, policy: Policy
    ) -> None:
        self._accounts: Accounts | None = None
        if accounts is not None:
            self._accounts = Accounts(AccountStore(options.statedir / FILE), accounts, policy)
        self._subscriber = Subscriber(options)
        self._special = SpecialRoots(
            options.statedir.absolute() / SPACES,
            options.quota,
            self._subscriber.pool,
            self._subscriber.listeners,
            self._subscriber.reserve,
        )
        if self._accounts is not None:
            self._accounts.on_delete.append(self._special.forget)
        known = policy if accounts is not None else None
        self._views = UserViews(self._subscriber, self._special, known)
        self._server: HttpServer | None = None
        self._http = http
        self._broker = options.broker

    async def start(self) -> str:
        self._server = HttpServer(make_app(self._views, self._accounts), self._http)
        await self._subscriber.start()
        await self._special.start()
        await self._server.start()
        told = f"broker {self._broker}" if self._broker else "no broker"
        return f"ready at {self._server.url}, {told}"

    async def failed(self) -> None:
        assert self._server is not None
        ends = [
            asyncio.create_task(self._subscriber.failed()),
            asyncio.create_task(self._special.failed()),
            asyncio.create_task(self._server.failed()),
        ]
        try:
            done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await cancel_all(ends)

    async def stop(self) -> None:
        self._subscriber.end_listening()
        if self._server is not None:
            await self._server.stop()
        await self._special.stop()
        await self._subscriber.stop()
        if self._accounts is not None:
            self._accounts.close()


def make_parser() -> argparse.ArgumentParser:
    made = arguments.service_parser(
        "cat2sub", "Run a subscriber: it caches roots and serves them over HTTP."
    )
    made.add_argument("--broker", metavar="HOST:PORT", help="default: 127.0.0.1:8000; '' for none")
    made.add_argument(
        "--http", metavar="HOST:PORT", help="or a Unix socket's path (default: 127.0.0.1:8002)"
    )
    made.add_argument(
        "--quota", metavar="SIZE", help="of cache and special roots, such as 20GB (default: none)"
    )
    made.add_argument(
        "--check", action="store_true", help="verify and repair the whole cache, and end"
    )
    made.add_argument(
        "--add-user",
        metavar="EMAIL",
        help="add an account, or set another password for it, and end; the password is asked "
        "for, or read from a line of standard input",
    )
    made.add_argument(
        "--superuser", action="store_true", help="with --add-user: who may administer accounts"
    )
    return made


def check(statedir: Path) -> int:
    """Verify the cache; exit code 0 if nothing had to be repaired."""
    held = StateDir(statedir)
    try:
        report = checking.check(held.path / CACHE)
    except OSError as error:
        raise StartError(f"the cache can't be checked: {error}") from None
    finally:
        held.close()
    print(
        f"{report.replicas} datasets ({report.complete} complete), {report.chunks} chunks, "
        f"{report.nbytes} bytes are right"
    )
    for line in report.damaged:
        print(f"damaged, will be fetched anew: {line}")
    for line in report.removed:
        print(f"removed: {line}")
    return 0 if report.clean else 1


def add_user(statedir: Path, name: str, superuser: bool, maxusers: int) -> int:
    """Add an account, or change it; a subscriber may run meanwhile."""
    email = Email(name)
    data = Password(passwords.new(f"Password of {email}: ")).bytes
    with contextlib.closing(AccountStore(statedir / FILE)) as store:
        stored = hashing.hash_password(data)
        try:
            store.add(email, stored, superuser, maxusers)
            print(f"added {email}")
        except UserExists:
            store.change(email, stored, superuser)
            print(f"{email} has another password, and has to log in again")
    return 0


def run(argv: list[str] | None) -> int:
    parser = make_parser()
    options = parser.parse_args(argv)
    if options.superuser and options.add_user is None:
        parser.error("--superuser is for --add-user")
    names = ("broker", "http", "statedir", "quota", "loglevel")
    settings = arguments.settings(SubscriberSettings, options, *names)
    arguments.start_log(settings.loglevel)
    if options.check:
        return check(Path(settings.statedir))
    if options.add_user is not None:
        most = settings.maxusers or limits.USERS
        return add_user(Path(settings.statedir), options.add_user, options.superuser, most)
    accounts = account_settings.options(settings, os.environ.get(SECRET, ""))
    policy = account_settings.policy(settings)
    subscriber = SubscriberOptions(
        Address.parse(settings.broker) if settings.broker else None,
        Path(settings.statedir),
        parse_size(settings.quota),
    )
    return service.run(
        "cat2sub",
        lambda: SubscriberService(subscriber, settings.http, accounts, policy),
        uvloop.new_event_loop,
    )


def main(argv: list[str] | None = None) -> int:
    return arguments.guarded("cat2sub", lambda: run(argv))


if __name__ == "__main__":
    sys.exit(main())
