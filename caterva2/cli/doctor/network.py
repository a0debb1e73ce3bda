"""Addresses that services listen at or connect to, the subscriber's health, and clocks."""

from __future__ import annotations

import contextlib
import email.utils
import http.client
import json
import socket
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

from caterva2.cli.doctor.configuration import Configured
from caterva2.cli.doctor.finding import Finding, Level
from caterva2.errors import CatervaError
from caterva2.wire.sockets import Address

PATIENCE_S = 3.0
GREETING = 10
"""Bytes by which ZeroMQ says what it is: 0xFF, eight others, 0x7F."""
SKEW_S = 60.0
"""Seconds between two clocks from which on cookies and tokens end early or late."""


def listens(service: Configured) -> Iterator[Finding]:
    """Yield whether a service that does not run could have its address."""
    settings = service.settings
    text: str = getattr(settings, "http", "") or getattr(settings, "endpoint", "")
    if "/" in text:
        return
    try:
        address = Address.parse(text)
    except CatervaError as error:
        yield Finding("wrong", service.title, str(error), "correct it")
        return
    host = "" if address.host == "*" else address.host.strip("[]")
    try:
        family = socket.getaddrinfo(host or "0.0.0.0", address.port)[0][0]  # noqa: S104
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, address.port))
    except (OSError, UnicodeError) as error:  # names with parts of no or many letters are no names
        why = getattr(error, "strerror", None) or str(error)
        yield Finding("wrong", f"{service.title} {text}", why,
                      "end the program that has it, or choose another address")  # fmt: skip
        return
    yield Finding("ok", f"{service.title} {text}", "it is free")


def broker(service: Configured) -> Iterator[Finding]:
    """Yield whether a service reaches its broker."""
    text: str = getattr(service.settings, "broker", "")
    if not text:
        return
    subject = f"broker {text}"
    try:
        address = Address.parse(text)
        with socket.create_connection((address.host.strip("[]"), address.port), PATIENCE_S) as link:
            greeting = _greeting(link)
    except CatervaError as error:
        yield Finding("wrong", subject, str(error), "correct it")
        return
    except (OSError, UnicodeError) as error:
        yield Finding("wrong", subject, f"{service.title} can't reach it ({error})",
                      "start cat2bro there, or open the firewall")  # fmt: skip
        return
    if greeting[:1] != b"\xff" or greeting[9:10] != b"\x7f":
        yield Finding("wrong", subject, "what answers there is no broker", "correct the address")
    else:
        yield Finding("ok", subject, f"{service.title} reaches it")


def _greeting(link: socket.socket) -> bytes:
    """Return the first bytes that the other side sends."""
    link.settimeout(PATIENCE_S)
    greeting = b""
    with contextlib.suppress(OSError):
        while len(greeting) < GREETING and (piece := link.recv(GREETING - len(greeting))):
            greeting += piece
    return greeting


def subscriber(url: str, *, expected: bool) -> Iterator[Finding]:
    """Yield what a subscriber says about itself.

    Parameters
    ----------
    url : str
    expected : bool
        Whether somebody said that it is there.
    """
    subject = f"subscriber {url}"
    if not url.startswith(("http://", "https://")):
        return
    before = time.time()
    try:
        with urllib.request.urlopen(f"{url}/healthz", timeout=PATIENCE_S) as answer:  # noqa: S310
            health = json.loads(answer.read(10_000))
            date = answer.headers.get("Date", "")
    except (OSError, ValueError, RecursionError, http.client.HTTPException) as error:
        level: Level = "wrong" if expected else "note"
        advice = "start cat2sub, or correct the URL" if expected else "caterva2 serve starts one"
        yield Finding(level, subject, f"it does not answer ({error})", advice)
        return
    yield _health(subject, health)
    yield from clocks(date, (before + time.time()) / 2)


def _health(subject: str, health: Any) -> Finding:
    if not isinstance(health, dict) or health.get("status") != "ok":
        return Finding("wrong", subject, "what answers there is no subscriber", "correct the URL")
    if not health.get("broker"):
        advice = "is cat2bro running, and does cat2sub have its address and key?"
        return Finding("note", subject, "it hears no broker", advice)
    return Finding("ok", subject, f"it hears its broker, and {health.get('roots')} roots are up")


def clocks(date: str, now: float) -> Iterator[Finding]:
    """Compare our clock with the one of an answer."""
    try:
        theirs = email.utils.parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError):
        return
    if abs(theirs - now) > SKEW_S:
        text = f"that of the subscriber is {theirs - now:+,.0f} s from this one"
        yield Finding("wrong", "clocks", text, "have both set by NTP")
