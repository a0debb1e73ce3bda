"""Bad input gets one clear line and the right status or exit code; nothing else is disturbed."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

import caterva2
from caterva2.errors import StartError
from caterva2.names import RootName
from caterva2.wire import codec, messages
from tests.conftest import HeldPort, Stack, eventually, example_root, example_stack, run


@pytest.fixture(scope="module")
def shared_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Services of this module, whose tests publish more roots."""
    yield from example_stack(tmp_path_factory)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["list", "bar"], 1, "404 Not Found: bar not known by the broker"),
        (["subscribe", "bar"], 1, "404 Not Found: bar not known by the broker"),
        (["show", "foo/nope.b2nd"], 1, "404 Not Found: foo/nope.b2nd does not exist"),
        (["list", "foo/nope"], 1, "404 Not Found: foo/nope does not exist"),
        (
            ["show", "foo/ds-1d.b2nd[1000]"], 2,
            "index 1000 is out of bounds for axis 0 with size 1000",
        ),
        (
            ["show", "foo/ds-1d.b2nd[0, 0]"], 2,
            "too many indices: 2 for 1 dimensions",
        ),
        (["show", "foo/ds-1d.b2nd[::0]"], 2, "axis 0: slice step cannot be zero"),
        (["show", "foo/ds-1d.b2nd[x]"], 2, "'x' is not a slice: 'x' can't be read"),
        (
            ["show", "foo/../secret"], 1,
            "400 Bad Request: '../secret' is not a path: it has the component '..'",
        ),
        (
            ["download", "foo/../secret"], 2,
            "foo/../secret is not a path below a root",
        ),
        (
            ["list", "b@d"], 1,
            "400 Bad Request: 'b@d' is not a root name: use letters, digits and _ . + -",
        ),
    ],
)  # fmt: skip
def test_command_is_refused(
    shared_stack: Stack, arguments: list[str], code: int, message: str
) -> None:
    done = shared_stack.cli(*arguments)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", f"cat2cli: {message}\n")


def test_client_says_which_subscriber_is_not_there() -> None:
    with contextlib.closing(HeldPort()) as port:
        done = run("cat2cli", "--subscriber", f"http://{port.address}", "roots")
    assert done.returncode == 1
    assert f"http://{port.address} can't be reached" in done.stderr
    assert done.stderr.count("\n") == 1


def test_unknown_command_is_a_usage_error() -> None:
    assert run("cat2cli", "rots").returncode == 2


def test_taken_root_name_is_refused_naming_the_holder(shared_stack: Stack) -> None:
    second = shared_stack.spawn(
        "second", "cat2pub", "--broker", shared_stack.broker, "--endpoint", "127.0.0.1:0", "foo",
        str(example_root()),
    )  # fmt: skip
    assert second.process.wait(15) == 1
    assert second.last_words().startswith("cat2pub: root foo is published by ")
    assert shared_stack.client.fetch("foo/ds-1d.b2nd", 7) == 7


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.write_text("not hdf5"), "neither a directory nor"),
    ],
)
def test_source_that_holds_nothing_is_refused(
    stack: Stack, tmp_path: Path, make: object, message: str
) -> None:
    source = tmp_path / "source"
    make(source)  # type: ignore[operator]
    child = stack.spawn("pub", "cat2pub", "--endpoint", "127.0.0.1:0", "foo", str(source))
    with pytest.raises(StartError, match=message):
        child.ready()
    assert child.process.wait(5) == 2  # which systemd does not answer with another start


def test_corrupt_array_answers_502_and_the_others_are_served(
    shared_stack: Stack, tmp_path: Path
) -> None:
    source = tmp_path / "data"
    shutil.copytree(example_root(), source)
    whole = (source / "ds-1d.b2nd").read_bytes()
    (source / "cut.b2nd").write_bytes(whole[:-40])
    (source / "noise.b2nd").write_bytes(bytes(range(256)) * 4)
    client = shared_stack.publish("corrupt", source)
    for name in ("cut", "noise"):
        done = shared_stack.cli("show", f"corrupt/{name}.b2nd")
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert f"502 Bad Gateway: corrupt/{name}.b2nd: " in done.stderr
        assert f"{name}.b2nd can't be served" in shared_stack.log("pub-corrupt")
    assert client.fetch("corrupt/ds-1d.b2nd", 999) == 999
    entries = dict(client.get("corrupt").items())
    assert {"cut.b2nd", "noise.b2nd"} < set(entries) and entries["ds-1d.b2nd"][999] == 999
    assert len(list(client.get("corrupt").values())) == len(entries)
    with pytest.raises(caterva2.HttpError, match="502"):
        entries["noise.b2nd"][0]


def test_two_services_on_one_port(shared_stack: Stack) -> None:
    cases = [
        ("cat2bro", ["--endpoint", shared_stack.broker]),
        (
            "cat2sub",
            ["--broker", shared_stack.broker, "--http", shared_stack.url.removeprefix("http://")],
        ),
        ("cat2pub", ["--endpoint", shared_stack.broker, "bar", str(example_root())]),
    ]
    for n, (command, given) in enumerate(cases):
        child = shared_stack.spawn(f"again{n}", command, *given)
        with pytest.raises(StartError, match=r"can't listen on 127.0.0.1:\d+: Address .*in use"):
            child.ready()
        assert child.process.wait(5) == 1
    eventually(lambda: shared_stack.client.fetch("foo/ds-1d.b2nd", 1) == 1)


def test_statedir_in_use_or_unusable(shared_stack: Stack, tmp_path: Path) -> None:
    again = run(
        "cat2bro", "--endpoint", "127.0.0.1:0", "--statedir", str(shared_stack.directory / "bro")
    )
    assert (again.returncode, again.stderr.count("\n")) == (1, 1)
    assert "is in use by another process" in again.stderr
    (tmp_path / "file").write_text("")
    for command in ("cat2bro", "cat2sub"):
        done = run(command, "--statedir", str(tmp_path / "file" / "below"))
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert "Not a directory" in done.stderr


def test_unknown_setting_is_refused_with_the_nearest_one(tmp_path: Path) -> None:
    (tmp_path / "caterva2.toml").write_text('[subscriber]\nhtp = "127.0.0.1:0"\n')
    done = run("cat2sub", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == (
        "cat2sub: caterva2.toml: unknown setting 'htp' in [subscriber]; did you mean 'http'?\n"
    )


@pytest.mark.parametrize("command", ["cat2bro", "cat2pub", "cat2sub", "cat2cli"])
def test_every_command_tells_its_version_and_help(command: str) -> None:
    assert run(command, "--version").stdout.startswith(f"{command} 2026.")
    assert run(command, "--help").stdout.startswith(f"usage: {command}")


def test_what_others_write_into_a_log_forges_no_line(shared_stack: Stack) -> None:
    """The broker logs who holds a root, in the holder's words."""
    words = "\x1b[2Ji\n2026 INFO all is well"
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.linger = 0
        dealer.connect(f"tcp://{shared_stack.broker}")
        for inst in (words, "another"):
            request = messages.Register(
                root=RootName("forged"), inst=inst, fence=0, endpoints=("tcp://127.0.0.1:1",)
            )
            dealer.send_multipart(codec.encode(request))
            assert dealer.poll(20_000)
            dealer.recv_multipart()
    shown = shared_stack.log("bro")
    assert r"is published by \x1b[2Ji\n2026 INFO all is well at" in shown
    assert "\x1b" not in shown
    assert not [line for line in shown.splitlines() if line.startswith("2026 INFO")]
