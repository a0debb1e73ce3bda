"""``cat2sub``: run a subscriber, check or back up its state, or add a user."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

import uvloop

from caterva2.accounts import hashing
from caterva2.accounts import settings as account_settings
from caterva2.accounts.identity import Email, Password
from caterva2.accounts.policy import CurrentPolicy
from caterva2.accounts.store import FILE, AccountStore, UserExists
from caterva2.cache import check as checking
from caterva2.cli import arguments
from caterva2.cli.parsers import cat2sub as make_parser
from caterva2.cli.reloading import Reload
from caterva2.cli.subscriber_service import SubscriberService
from caterva2.cli.terminal import passwords
from caterva2.config import SECRET, SubscriberSettings, load_limits, parse_size
from caterva2.errors import StartError
from caterva2.mirror.options import MirrorOptions
from caterva2.pages.front import PLACES
from caterva2.rest.paths import FIRST_PARTS
from caterva2.runtime import service
from caterva2.runtime.logs.log import start_log
from caterva2.runtime.logs.requests import RequestRecords
from caterva2.runtime.monitoring.watched import watched
from caterva2.runtime.statedir import StateDir
from caterva2.runtime.supervision import passed
from caterva2.subscriber.options import SubscriberOptions, pinned
from caterva2.subscriber.publishers.preferences import Preferences
from caterva2.subscriber.service import CACHE
from caterva2.subscriber.trust.options import TrustOptions
from caterva2.subscriber.upstream.options import UpstreamOptions
from caterva2.web.server.options import HttpOptions
from caterva2.web.server.prefix import Prefix
from caterva2.wire.auth.service_keys import KeyOptions
from caterva2.wire.networks import Networks
from caterva2.wire.sockets import Address
from caterva2.workers.options import WorkerOptions

_SWITCH_S = 0.0005
"""Seconds after which a thread that computes gives way to the event loop."""


def repair(statedir: Path) -> int:
    """Verify and repair the cache; return the exit code, 0 if nothing had to be repaired."""
    held = StateDir(statedir)
    try:
        report = checking.check(held.path / CACHE)
    except OSError as error:
        raise StartError(f"the cache can't be checked: {error}") from None
    finally:
        held.close()
    print(
        f"{report.replicas} datasets ({report.complete} complete), {report.chunks} chunks, "
        f"{report.nbytes} bytes are correct"
    )
    for line in report.damaged:
        print(f"damaged, will be fetched again: {line}")
    for line in report.removed:
        print(f"removed: {line}")
    return 0 if report.clean else 1


def add_user(statedir: Path, name: str, superuser: bool, maxusers: int) -> int:
    """Add an account, or set its password; a subscriber may run meanwhile."""
    email = Email(name)
    data = Password(passwords.new(f"Password of {email}: ")).bytes
    with contextlib.closing(AccountStore(statedir / FILE)) as store:
        stored = hashing.hash_password(data)
        try:
            store.add(email, stored, superuser, maxusers)
            print(f"added {email}")
        except UserExists:
            store.change(email, stored, superuser)
            print(f"{email} has a new password, and has to log in again")
    return 0


def enable(statedir: Path, name: str, active: bool) -> int:
    """Enable or disable an account; a subscriber may run meanwhile."""
    email = Email(name)
    if not (statedir / FILE).exists():  # it is not made by that
        raise StartError(f"{statedir / FILE} is not there: there are no accounts")
    with contextlib.closing(AccountStore(statedir / FILE)) as store:
        store.enable(email, active)
    print(f"{'enabled' if active else 'disabled'} {email}")
    return 0


def run(argv: list[str] | None) -> int:
    """Run the command and return its exit code."""
    parser = make_parser()
    options = parser.parse_args(argv)
    if options.superuser and options.add_user is None:
        parser.error("--superuser is for --add-user")
    names = (
        "broker", "http", "statedir", "quota", "dask", "advertise", "loglevel", "log_format",
        "ssl_certfile", "ssl_keyfile", "broker_key", "curve", "key", "metrics", "publish",
        "publish_to", "publish_endpoint", "workers", "upstream", "upstream_token_file",
        "upstream_ca_file", "trust",
    )  # fmt: skip
    settings = arguments.settings(SubscriberSettings, options, *names)
    start_log(settings.loglevel, settings.log_format)
    statedir = Path(settings.statedir)
    if options.repair:
        return repair(statedir)
    if arguments.is_upkeep(options):
        from caterva2.cli.commands import upkeep  # a start needs none of it

        return upkeep.subscriber(options, statedir)
    limits = load_limits(options.conf)
    if options.add_user is not None:
        max_users = settings.maxusers or limits.accounts.users
        return add_user(statedir, options.add_user, options.superuser, max_users)
    for name, active in ((options.disable, False), (options.enable, True)):
        if name is not None:
            return enable(statedir, name, active)
    accounts = account_settings.options(settings, os.environ.get(SECRET, ""), limits.accounts)
    policy = CurrentPolicy(account_settings.policy(settings))
    socket = passed.listener(os.environ)
    address = passed.address_of(socket) if socket else settings.http
    reached = HttpOptions.of(
        address, settings.hosts, settings.proxy, settings.ssl_certfile, settings.ssl_keyfile,
        Prefix(settings.prefix, PLACES | FIRST_PARTS),
    )  # fmt: skip

    recorded = RequestRecords(settings.access_log, settings.audit_log)

    def set_policy(changed: SubscriberSettings) -> None:
        account_settings.check_rights(changed, accounts is not None)
        rules = account_settings.policy(changed)
        if reached.certificate is not None:
            reached.certificate.load()
        policy.replace(rules)
        recorded.reopen()

    reload = Reload(
        settings, options, names, set_policy, ("groups", "metrics_for", "read", "roots", "write")
    )
    subscriber = SubscriberOptions(
        Address.parse(settings.broker) if settings.broker else None,
        statedir,
        parse_size(settings.quota),
        KeyOptions.of(settings),
        (parse_size(settings.user_quota), parse_size(settings.shared_quota)),
        Networks(settings.publishers),
        pinned(settings),
        Preferences(settings.prefer),
        upstream=UpstreamOptions.of(settings),
        trust=TrustOptions.of(settings),
    )
    sys.setswitchinterval(_SWITCH_S)
    return service.run(
        "cat2sub",
        lambda: watched(
            SubscriberService.serving(
                subscriber,
                socket or address,
                accounts,
                policy,
                limits,
                settings.cors,
                (settings.dask, settings.advertise),
                reached,
                recorded,
                MirrorOptions.of(settings),
                WorkerOptions(settings.workers, settings.loglevel, settings.log_format),
            ),
            settings.metrics,
        ),
        uvloop.new_event_loop,
        reload,
    )


def main(argv: list[str] | None = None) -> int:
    """Run the command; an error becomes one line on standard error."""
    return arguments.guarded("cat2sub", lambda: run(argv))


if __name__ == "__main__":
    sys.exit(main())
