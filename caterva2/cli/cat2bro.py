"""``cat2bro``: run a broker."""

from __future__ import annotations

import sys
from pathlib import Path

from caterva2.broker.bound import BrokerOptions
from caterva2.broker.service import Broker, forget
from caterva2.cli import arguments
from caterva2.cli.parsers import cat2bro as make_parser
from caterva2.cli.reloading import Reload
from caterva2.config import BrokerSettings, load_limits
from caterva2.names import RootName
from caterva2.runtime import service
from caterva2.runtime.logs.log import start_log
from caterva2.runtime.monitoring.watched import watched
from caterva2.wire.auth.service_keys import KeyOptions
from caterva2.wire.networks import Networks
from caterva2.wire.sockets import Address


def options_of(settings: BrokerSettings) -> BrokerOptions:
    """Return the addresses and the state directory of some settings."""
    control = Address.parse(settings.endpoint)

    def beside(text: str, step: int) -> Address:
        if text:
            return Address.parse(text, control.host)
        return Address(control.host, control.port + step if control.port else 0)

    return BrokerOptions(
        control, beside(settings.xsub, 3), beside(settings.xpub, 4), Path(settings.statedir),
        KeyOptions.of(settings), Networks(settings.publishers),
    )  # fmt: skip


def run(argv: list[str] | None) -> int:
    """Run the command and return its exit code."""
    options = make_parser().parse_args(argv)
    names = (
        "endpoint",
        "xsub",
        "xpub",
        "statedir",
        "loglevel",
        "log_format",
        "metrics",
        *arguments.KEYS,
    )
    settings = arguments.settings(BrokerSettings, options, *names)
    start_log(settings.loglevel, settings.log_format)
    broker, limits = options_of(settings), load_limits(options.conf)
    if arguments.is_upkeep(options):
        from caterva2.cli.commands import upkeep  # a start needs none of it

        return upkeep.broker(options, broker.statedir)
    if options.forget:
        forget(broker.statedir, [RootName(name) for name in options.forget], limits.broker)
        return 0
    reload = Reload(settings, options, names)

    def make() -> service.Service:
        return watched(Broker.serving(broker, limits), settings.metrics)

    return service.run("cat2bro", make, reload=reload)


def main(argv: list[str] | None = None) -> int:
    """Run the command; an error becomes one line on standard error."""
    return arguments.guarded("cat2bro", lambda: run(argv))


if __name__ == "__main__":
    sys.exit(main())
