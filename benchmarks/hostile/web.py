"""Attacks over HTTP."""

from __future__ import annotations

import contextlib
import socket
import time
import urllib.parse
import urllib.request
from http import HTTPStatus

from benchmarks.hostile.target import SECONDS, Target

CONNECTIONS = 1100
WORD = "correct horse"
USER = "ann@example.com"


def endless_head(target: Target) -> str:
    """Send lines of a head without an end, again and again."""
    sent, answers, until = 0, set(), time.monotonic() + SECONDS
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(target.http, 10) as peer:
            peer.settimeout(10)
            peer.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
            sent = 0
            with contextlib.suppress(OSError):
                while time.monotonic() < until:
                    peer.sendall(b"X: " + b"v" * 900 + b"\r\n")
                    sent += 905
            answers.add(peer.recv(12).decode())
    return f"{', '.join(sorted(answers))} after at most {sent / 1e6:.1f} MB were taken"


def idle_sockets(target: Target) -> str:
    """Open many connections that send half a head."""
    peers = []
    try:
        for _ in range(CONNECTIONS):
            with contextlib.suppress(OSError):
                peers.append(socket.create_connection(target.http, 10))
                peers[-1].sendall(b"GET / HT")
        status, _ = target.get("api/roots")
        time.sleep(12)
        closed = sum(_is_closed(peer) for peer in peers)
    finally:
        for peer in peers:
            peer.close()
    return f"others {status} meanwhile; {closed} of {len(peers)} closed after 12 s"


def _is_closed(peer: socket.socket) -> bool:
    peer.setblocking(False)
    try:
        while peer.recv(1000):
            pass
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def lock_out(target: Target) -> str:
    """Guess the password of a user from many addresses, and log in as that user from another."""
    statuses = [_login(target, "wrong", f"198.51.100.{n % 200}") for n in range(100)]
    began = time.monotonic()
    right = _login(target, WORD, "203.0.113.9")
    refused = sum(one == HTTPStatus.TOO_MANY_REQUESTS for one in statuses)
    took = time.monotonic() - began
    return f"100 guesses ({refused} with 429), then the right password: {right} after {took:.1f} s"


def _login(target: Target, word: str, client: str) -> int:
    form = urllib.parse.urlencode({"username": USER, "password": word}).encode()
    request = urllib.request.Request(f"{target.url}/auth/jwt/login", form)
    request.add_header("X-Forwarded-For", client)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
