"""Make state directories of all services with the package on the path: ``make.py TARGET.tar.gz``.

Run it with the package of an older version: ``PYTHONPATH=/older/tree python make.py ...``. What it
makes is opened by `tests.fault.test_states` with the version of today.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import blosc2
import numpy as np

WORD = "correct horse"
ENV = os.environ | {"CATERVA2_SECRET": "keeps sessions"}


def start(top: Path, command: str, *given: str) -> tuple[subprocess.Popen[str], str]:
    """Start a service, and return it with its ready line."""
    launch = (
        "import sys; from caterva2.cli import launch; sys.exit(getattr(launch, sys.argv.pop(1))())"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", launch, command, *given],
        cwd=top, env=ENV, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stdout is not None
    return child, child.stdout.readline()


def fill(url: str, top: Path) -> None:
    """Store what the tests expect."""
    import caterva2

    client = caterva2.Client(url, ("ann@example.com", WORD))
    until = time.monotonic() + 20
    while client.subscribe("foo") != "Ok" and time.monotonic() < until:
        time.sleep(0.1)
    assert client.fetch("foo/a.b2nd").tolist() == list(range(20))
    local = top / "up.b2nd"
    blosc2.asarray(np.arange(8), urlpath=str(local))
    for root in ("public", "shared", "personal"):
        client.upload(str(local), f"@{root}/dir/up.b2nd")
    client.upload(str(local), "@public/gone.b2nd")
    client.remove("@public/gone.b2nd")
    client.lazyexpr("sum", "a + 1", {"a": "@personal/dir/up.b2nd"})
    time.sleep(3)  # catalogs are saved every two seconds


def make(top: Path) -> None:
    """Run all services below a directory once."""
    source = top / "data"
    source.mkdir()
    blosc2.asarray(np.arange(20), urlpath=str(source / "a.b2nd"))
    for name, given in (("ann@example.com", ()), ("super@example.com", ("--superuser",))):
        subprocess.run(
            [sys.executable, "-m", "caterva2.cli.cat2sub", "--statedir", "sub",
             "--add-user", name, *given],
            cwd=top, env=ENV, input=f"{WORD}\n", text=True, check=True,
        )  # fmt: skip
    addresses = "--xsub", "127.0.0.1:0", "--xpub", "127.0.0.1:0"
    bro, ready = start(top, "cat2bro", "--statedir", "bro", "--endpoint", "127.0.0.1:0", *addresses)
    broker = re.search(r"127\.0\.0\.1:\d+", ready)[0]  # type: ignore[index]
    given = "--broker", broker
    pub, _ = start(
        top, "cat2pub", "--statedir", "pub", *given, "--endpoint", "127.0.0.1:0", "foo", "data"
    )
    sub, ready = start(top, "cat2sub", "--statedir", "sub", *given, "--http", "127.0.0.1:0")
    try:
        fill(re.search(r"http://\S+:\d+", ready)[0], top)  # type: ignore[index]
    finally:
        for child in (sub, pub, bro):
            child.terminate()
            child.wait()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        make(Path(temporary))
        with tarfile.open(sys.argv[1], "w:xz") as archive:
            for name in ("bro", "pub", "sub"):
                archive.add(Path(temporary, name), name)
