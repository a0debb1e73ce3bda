"""Other ways to read: HTTP as it is, Zarr, pages, and the command line."""

from __future__ import annotations

import json
from pathlib import Path

import blosc2
import pytest

from caterva2.cli import cat2cli, launch
from caterva2.client import Client
from caterva2.tests.reached import Reached
from caterva2.version import __version__


def _cat2cli(subscriber: Reached, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setenv("CATERVA2_URL", subscriber.url)
    name, password = subscriber.who.get("auth", ("", ""))
    for variable, value in (("USERNAME", name), ("PASSWORD", password)):
        if value:
            monkeypatch.setenv(f"CATERVA2_{variable}", value)
    return cat2cli.main([*arguments])


def test_health_is_good(client: Client) -> None:
    health = client.transport.json(dict, "GET", "healthz")
    assert health["status"] == "ok"
    assert health["roots"] >= 1


def test_interface_is_described(client: Client) -> None:
    described = client.transport.json(dict, "GET", "api/openapi.json")
    assert described["openapi"].startswith("3.1")
    assert "/api/roots" in described["paths"]


def test_metadata_have_a_version(client: Client, root: str) -> None:
    meta = client.get_info(f"{root}/ds-1d.b2nd")
    assert meta["shape"] == [1000]
    assert meta["etag"] == client.get_info(f"{root}/ds-1d.b2nd")["etag"]


def test_arrays_are_zarr_arrays(client: Client, root: str) -> None:
    meta = client.transport.json(dict, "GET", f"zarr/{root}/dir1/ds-2d.b2nd/zarr.json")
    assert (meta["node_type"], meta["shape"], meta["data_type"]) == ("array", [10, 20], "uint16")


def test_blosc2_reads_remote_arrays(subscriber: Reached) -> None:
    if subscriber.who:
        pytest.skip("blosc2.C2Array logs in by settings of its own")
    path = f"{subscriber.root}/dir1/ds-2d.b2nd"
    assert blosc2.C2Array(path, urlbase=f"{subscriber.url}/")[9, 19] == 199


def test_command_line_lists(
    subscriber: Reached, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _cat2cli(subscriber, monkeypatch, "list", f"{subscriber.root}/dir1") == 0
    lines = [f"{subscriber.root}/dir1/{name}" for name in ("ds-2d.b2nd", "ds-3d.b2nd")]
    assert capsys.readouterr().out.splitlines() == lines


def test_command_line_shows_values(
    subscriber: Reached, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = f"{subscriber.root}/dir1/ds-2d.b2nd[0, :3]"
    assert _cat2cli(subscriber, monkeypatch, "show", path, "--json") == 0
    assert json.loads(capsys.readouterr().out) == [0, 1, 2]


def test_command_line_downloads(
    subscriber: Reached, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    target = tmp_path / "it.b2nd"
    path = f"{subscriber.root}/ds-1d.b2nd"
    assert _cat2cli(subscriber, monkeypatch, "download", path, str(target)) == 0
    assert blosc2.open(str(target))[999] == 999


@pytest.mark.parametrize("name", sorted(launch.COMMANDS))
def test_commands_have_help(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for option, begin in (("--version", f"{name} {__version__}"), ("--help", f"usage: {name} ")):
        monkeypatch.setattr("sys.argv", [name, option])
        with pytest.raises(SystemExit) as end:
            launch.COMMANDS[name]()
        assert end.value.code in (None, 0)
        assert capsys.readouterr().out.startswith(begin)
