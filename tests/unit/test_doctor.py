"""What ``caterva2 doctor`` finds: wrong versions, settings, rights, addresses and clocks."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import threading
from importlib import metadata
from pathlib import Path

import pytest

from caterva2.cli import caterva2 as command
from caterva2.cli.doctor import configuration, machine, network, software, state
from caterva2.cli.doctor.configuration import Configured
from caterva2.cli.doctor.finding import Finding
from caterva2.cli.site import opening
from caterva2.config import BrokerSettings, PublisherSettings
from tests.conftest import HeldPort
from tests.httpscript import Reply, serving

LINES = [
    "numpy>=2.0", "rich>=13.9.1", "pyzmq>=27.0; extra == 'base-services'",
    "caterva2[base-services]; extra == 'subscriber'", "starlette>=1.0; extra == 'subscriber'",
    "caterva2[base-services,subscriber]; extra == 'services'", "h5py>=3.12; extra == 'hdf5'",
]  # fmt: skip


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CATERVA2_SECRET", raising=False)
    return tmp_path


def wrong(findings: object) -> list[str]:
    return [str(each) for each in findings if each.level == "wrong"]  # type: ignore[attr-defined]


def test_an_old_python_is_wrong() -> None:
    assert software.python((3, 11, 0)).level == "ok"
    assert "3.11 or newer" in software.python((3, 10, 9)).advice


def test_missing_and_old_libraries_are_named() -> None:
    there = {"numpy": "1.26.4", "rich": "13.9.1.post1", "starlette": "1.0.0", "h5py": "3.12"}

    def version(name: str) -> str:
        if name not in there:
            raise metadata.PackageNotFoundError(name)
        return there[name]

    found = {each.subject: each for each in software.libraries(LINES, version, serves=True)}
    assert found["libraries"].text == "numpy 1.26.4 is older than 2.0"
    services = found["extra services"]
    assert services.level == "wrong"
    assert set(services.text.split(", ")) == {"pyzmq is not installed"}
    assert "caterva2[services]" in services.advice
    assert "hdf5" in found["extras"].text.split(", ")
    there |= {"numpy": "2.0.0", "pyzmq": "27"}
    assert wrong(software.libraries(LINES, version, serves=True)) == []
    del there["pyzmq"]
    assert wrong(software.libraries(LINES, version)) == []  # nothing is served here


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[broker\n", ["can't be read"]),
        ("[subscriber]\nquota='1GB'\nuser_quota='2GB'\n", ["user_quota = 2GB is more"]),
        ("[publisher.a]\nendpont='x'\n", ["endpont", "'endpoint'"]),
        ("[limits.web]\nmembers=0\n", ["members = 0"]),
        ("[subscriber]\nquota='much'\n", ["[subscriber] quota", "'much'"]),
        ("[subscriber]\nlogin=true\n", ["CATERVA2_SECRET is not set"]),
        ("[broker]\nendpoint='a:1'\n[publisher.x]\nendpoint='a:1'\n",
         ["[broker] and [publisher.x] both have the address a:1"]),
        ("[publisher.x]\nname='n'\n[publisher.y]\nname='n'\nendpoint='a:1'\n",
         ["both have the statedir _caterva2/pub.n"]),
        ("[client]\ntoken='t'\n", ["chmod 600"]),
    ],
)  # fmt: skip
def test_wrong_settings_are_named(place: Path, text: str, words: list[str]) -> None:
    (place / "caterva2.toml").write_text(text)
    (place / "caterva2.toml").chmod(0o644)
    _, found = configuration.load(None)
    assert len(wrong(found)) == 1
    assert all(word in wrong(found)[0] for word in words), wrong(found)


def test_right_settings_are_right(place: Path) -> None:
    (place / "caterva2.toml").write_text("[publisher.a]\nname='a'\n[publisher.b]\nname='b'\n"
                                         "endpoint='127.0.0.1:0'\n")  # fmt: skip
    configured, found = configuration.load(None)
    assert [each.level for each in found] == ["ok"]
    assert [each.title for each in configured if each.given] == ["[publisher.a]", "[publisher.b]"]


def service(place: Path, **given: str) -> Configured:
    settings = BrokerSettings(statedir=str(place / "bro"), **given)
    return Configured("broker", "", settings, given=True)


def test_state_that_others_read_or_that_is_damaged_is_wrong(place: Path) -> None:
    broker = service(place)
    assert [each.level for each in state.look(broker)] == ["ok"]
    (place / "bro").mkdir()
    assert "no service runs in it" in str(*state.look(broker))
    (place / "bro/key").write_text("nonsense")
    (place / "bro/key").chmod(0o644)
    (place / "bro/allowed").write_text("ann\n")
    assert "chmod 600" in " ".join(wrong(state.look(broker)))
    (place / "bro/key").unlink()
    assert "allowed" in " ".join(wrong(state.look(broker)))
    (place / "bro/allowed").unlink()
    with (place / "bro/lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "a service runs in it" in str(*state.look(broker))


@pytest.mark.skipif(os.geteuid() != 0, reason="rights are tried as another user")
def test_state_of_another_user_ends_no_examination(place: Path) -> None:
    broker = service(place)
    (place / "bro" / "lost").mkdir(parents=True)
    (place / "bro" / "lock").touch()
    below = Configured("broker", "", BrokerSettings(statedir=str(place / "bro" / "lost")), True)
    (place / "bro").chmod(0o700)
    place.chmod(0o755)
    os.seteuid(65534)
    try:
        seen = [wrong(state.look(broker)), wrong(state.look(below)), state.is_held(place / "bro")]
    finally:
        os.seteuid(0)
    assert seen[2]
    assert all("as the user of the service" in finding for (finding,) in seen[:2])


def test_a_link_to_nothing_in_a_state_directory_is_borne(place: Path) -> None:
    (place / "bro").mkdir()
    (place / "bro" / "gone").symlink_to("nowhere")
    assert "no service runs in it" in str(*state.look(service(place)))


def test_limits_of_the_system_are_judged() -> None:
    assert [machine.watches(n).level for n in (8_192, 65_536)] == ["note", "ok"]
    assert [machine.open_files(n).level for n in (256, 1_024, 4_096, -1)] == [
        "wrong", "note", "ok", "ok",
    ]  # fmt: skip
    assert [machine.clock(now).level for now in (1e9, 1.8e9)] == ["wrong", "ok"]


def test_taken_and_foreign_addresses_are_wrong(place: Path) -> None:
    held = HeldPort()
    try:
        assert wrong(network.listens(service(place, endpoint=held.address))) == []
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            (taken,) = wrong(network.listens(service(place, endpoint=f"127.0.0.1:{port}")))
        assert "another program" not in taken
        assert os.strerror(98) in taken
        (foreign,) = wrong(network.listens(service(place, endpoint="192.0.2.1:8000")))
        assert "choose another address" in foreign
    finally:
        held.close()
    for host in ("a..b", "x" * 70, "no-such.invalid"):
        (unknown,) = wrong(network.listens(service(place, endpoint=f"{host}:8000")))
        assert "Unknown error" not in unknown
        assert "can't reach it" in wrong(of_broker(f"{host}:8000"))[0]


def of_broker(address: str) -> list[Finding]:
    return list(
        network.broker(Configured("publisher", "", PublisherSettings(broker=address), True))
    )


def test_a_broker_is_one_that_speaks_zeromq() -> None:
    held = HeldPort()
    assert "can't reach it" in wrong(of_broker(held.address))[0]
    held.close()
    greetings = (
        (b"\xff" + bytes(8) + b"\x7f", "ok"),
        (b"HTTP/1.1 400", "wrong"),
        (b"\xff" * 10, "wrong"),
    )
    for greeting, level in greetings:
        with socket.create_server(("127.0.0.1", 0)) as server:

            def answer(to: socket.socket = server, what: bytes = greeting) -> None:
                with to.accept()[0] as link:
                    link.sendall(what)

            thread = threading.Thread(target=answer)
            thread.start()
            (found,) = of_broker(f"127.0.0.1:{server.getsockname()[1]}")
            thread.join()
        assert found.level == level, str(found)


def test_a_subscriber_says_how_it_is() -> None:
    answers = [
        ({"status": "ok", "broker": True, "roots": 2}, "ok"),
        ({"status": "ok", "broker": False, "roots": 0}, "note"),
        ({"hello": 1}, "wrong"),
        ([], "wrong"),
    ]
    for content, level in answers:
        with serving(lambda _, it=content: Reply(200, json.dumps(it).encode())) as script:  # type: ignore[misc]
            (found,) = network.subscriber(script.url, expected=True)
        assert (found.level, script.asked[0].path) == (level, "/healthz")
    (gone,) = network.subscriber(script.url, expected=True)
    (never,) = network.subscriber(script.url, expected=False)
    assert (gone.level, never.level) == ("wrong", "note")


@pytest.mark.parametrize(
    "answer",
    [b"\xff\0\0\x7f\r\n", b"HTTP/1.0 200 OK\r\n\r\n" + b"[" * 9000],
    ids=["ZeroMQ", "deep JSON"],
)
def test_what_speaks_no_http_is_no_subscriber(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        url = f"http://127.0.0.1:{server.getsockname()[1]}"

        def speak() -> None:
            for _ in range(2):
                with contextlib.suppress(OSError), server.accept()[0] as link:
                    link.recv(4096)
                    link.sendall(answer)

        thread = threading.Thread(target=speak, daemon=True)
        thread.start()
        (found,) = network.subscriber(url, expected=True)
        assert found.level == "wrong"
        assert opening._answers(url) == answer.startswith(b"HTTP")
    assert not opening._answers("http://a b\n")
    assert not opening._answers("http://\u202e:x")


def test_clocks_that_differ_are_wrong() -> None:
    date = "Sat, 28 Nov 2026 06:00:00 GMT"
    assert list(network.clocks(date, 1795845600.0)) == []
    (found,) = network.clocks(date, 1795845600.0 - 3600)
    assert "+3,600 s" in str(found)
    assert list(network.clocks("", 0)) == list(network.clocks("yesterday", 0)) == []


def test_the_command_says_all_and_exits_with_1_if_something_is_wrong(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(lambda _: Reply(200, b'{"status": "ok", "broker": true, "roots": 1}')) as script:
        monkeypatch.setenv("CATERVA2_URL", script.url)
        (place / "caterva2.toml").write_text("[broker]\nendpoint='127.0.0.1:0'\n")
        assert command.main(["doctor", "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        subjects = {each["subject"].split(" ")[0] for each in found}
        assert {"Python", "settings", "open", "clock", "[broker]", "subscriber"} <= subjects
        (place / "caterva2.toml").write_text("[broker]\nxsub='a:1'\nxpub='a:1'\n")
        assert command.main(["doctor"]) == 1
    shown = capsys.readouterr().out
    assert "wrong settings: caterva2.toml: [broker] endpoint, xsub and xpub" in shown
    assert "ok    Python" not in shown
    assert shown.endswith(" checks, 1 wrong\n")
