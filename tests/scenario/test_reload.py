"""SIGHUP: settings are read again, and no service ends."""

from __future__ import annotations

import re
import signal
import urllib.error

from caterva2.cli.children import Child
from tests.conftest import Stack, eventually, example_root

CONF = '[broker]\nloglevel = "{level}"\n[subscriber]\nread = "{read}"\n'
SECRET = "a-secret-that-keeps-sessions"
RELOADED = re.compile("reloaded .*loglevel")


def configure(stack: Stack, level: str, read: str) -> None:
    (stack.directory / "caterva2.toml").write_text(CONF.format(level=level, read=read))


def status(stack: Stack, target: str) -> int:
    try:
        with stack.open(target) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_all_services_survive_and_take_over_rights(stack: Stack) -> None:
    stack.secret = SECRET
    configure(stack, "info", "public")
    stack.start(foo=example_root())
    assert status(stack, "api/info/foo/README.md") == 200

    configure(stack, "info", "users")
    for child in [*stack.children.values()] * 2:
        child.process.send_signal(signal.SIGHUP)
    eventually(lambda: status(stack, "api/info/foo/README.md") == 404)
    eventually(lambda: all(RELOADED.search(stack.log(name)) for name in stack.children))

    # In one step: the second signal may still be under way, and an empty file has public roots.
    bad = stack.directory / "bad.toml"
    bad.write_text('[subscriber]\nread = "everybody"\n')
    bad.replace(stack.directory / "caterva2.toml")
    stack.children["sub"].process.send_signal(signal.SIGHUP)
    eventually(lambda: "the settings stay as they were: " in stack.log("sub"))
    assert status(stack, "api/info/foo/README.md") == 404
    for name, child in stack.children.items():
        assert child.process.poll() is None, name


def test_the_log_level_changes(stack: Stack) -> None:
    configure(stack, "error", "public")
    log = stack.directory / "bro.log"
    ports = "--endpoint", "127.0.0.1:0", "--xsub", "127.0.0.1:0", "--xpub", "127.0.0.1:0"
    given = ["--statedir", str(stack.directory / "bro"), *ports]
    child = Child("cat2bro", given, log, cwd=stack.directory, spawn=stack.spawn_process)
    stack.children["bro"] = child
    child.ready()
    assert log.read_text() == ""
    configure(stack, "info", "public")
    child.process.send_signal(signal.SIGHUP)
    eventually(lambda: "INFO caterva2.cli.reloading: reloaded loglevel" in log.read_text())
    assert stack.stop("bro") == 0
