"""All that the doctor looks at, in order."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from caterva2.cli.doctor import configuration, software
from caterva2.cli.doctor.configuration import Configured
from caterva2.cli.doctor.finding import Finding
from caterva2.runtime.printable import printable


def run(options: argparse.Namespace) -> int:
    """Print all findings, and return 1 if something is wrong."""
    found = list(findings(options.conf))
    if options.json:
        print(json.dumps([asdict(each) for each in found]))
    else:
        for each in found:
            if options.all or each.level != "ok":
                print(printable(str(each)))
    wrong = sum(each.level == "wrong" for each in found)
    if not options.json:
        print(f"{len(found)} checks, {wrong} wrong" if wrong else f"{len(found)} checks, all right")
    return 1 if wrong else 0


def findings(conf: Path | None) -> Iterator[Finding]:
    """Yield all findings about this machine and a settings file."""
    yield software.python()
    configured, problems = configuration.load(conf)
    services = [each for each in configured if each.is_service]
    yield from software.libraries(serves=any(each.given for each in services))
    yield from problems
    try:
        from caterva2.cli.doctor import machine, network, state
    except ModuleNotFoundError:
        return  # only the client is installed here, or the system can run no services
    yield from machine.look()
    for service in services:
        yield from state.look(service)
        if service.given and not state.is_held(service.statedir):
            yield from network.listens(service)
    yield from _brokers(services)
    for client in (each for each in configured if not each.is_service):
        url = os.environ.get("CATERVA2_URL") or client.settings.subscriber  # type: ignore[attr-defined]
        expected = client.given or "CATERVA2_URL" in os.environ
        yield from network.subscriber(url.rstrip("/"), expected=expected)


def _brokers(services: list[Configured]) -> Iterator[Finding]:
    """Check each broker once, for services that the file has."""
    from caterva2.cli.doctor import network

    seen = set()
    for service in services:
        address = getattr(service.settings, "broker", "")
        if service.given and address and address not in seen:
            seen.add(address)
            yield from network.broker(service)
