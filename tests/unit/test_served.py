"""What ``caterva2 serve`` is asked for: sources, and the names that their roots get."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from caterva2.cli.site import place, served
from caterva2.cli.site.processes import FREE, Part, Site
from caterva2.cli.site.served import Served
from caterva2.errors import ConfigError
from caterva2.wire.sockets import Address


@pytest.fixture(autouse=True)
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("data/climate", "data/weather.v1", "other/climate", "two words", "x=y"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "climate.h5").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path


@pytest.mark.parametrize(
    ("text", "name", "source"),
    [
        ("data/climate/", "climate", "data/climate"),
        ("data/weather.v1", "weather.v1", "data/weather.v1"),
        ("climate.h5", "climate", "climate.h5"),
        ("here=two words", "here", "two words"),
        ("a=x=y", "a", "x=y"),
        ("data/../data", "data", "data"),
    ],
)
def test_a_root_is_named_after_its_source(text: str, name: str, source: str, world: Path) -> None:
    assert served.parse([text]) == [Served(name, str(world / source))]  # type: ignore[arg-type]


def test_the_directory_that_one_is_in_has_its_name(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(world / "data/climate")
    assert served.parse(["."])[0].name == "climate"


def test_a_bucket_is_named_after_its_last_part() -> None:
    urls = ["s3://bucket/some/prefix/", "b=https://data.example/a?b=c", "s3://bucket"]
    assert [(root.name, root.source) for root in served.parse(urls)] == [
        ("prefix", urls[0]), ("b", "https://data.example/a?b=c"), ("bucket", urls[2]),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["nowhere"], ["nowhere does not exist"]),
        (["a=nowhere"], ["nowhere does not exist"]),
        ([""], ["'' does not exist"]),
        (["two words"], ["not a root name", "NAME=two words"]),
        (["x=y"], ["not a root name", "NAME=x=y"]),
        (["/"], ["not a root name", "NAME=/"]),
        (["data/climate", "other/climate"], ["data/climate and", "'climate'", "OTHER="]),
        (["data/climate", "climate.h5"], ["'climate'", "OTHER="]),
    ],
)
def test_refused(texts: list[str], words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        served.parse(texts)
    assert all(word in caught.value.detail for word in words), caught.value.detail


def test_each_choice_of_sources_has_its_own_state(world: Path) -> None:
    roots = served.parse(["data/climate", "two=two words"])
    one, other = place.default(roots), place.default(served.parse(["other/climate"]))
    assert one == place.default(roots[::-1])
    assert (one.parent, one.name.rpartition("-")[0]) == (world / "state/caterva2", "climate+two")
    assert other.name.startswith("climate-")
    assert other != place.default(roots[:1])
    assert place.default([], "https://a") not in (place.default([]), place.default([], "https://b"))


def test_running_sites_are_found_the_latest_first(world: Path) -> None:
    sites = [place.Running(f"http://127.0.0.1:{port}", {"a": "/a"}) for port in (1, 2)]
    for site, name in zip(sites, ("one", "two"), strict=True):
        (place.home() / name).mkdir(parents=True)
        place.write(place.home() / name, site)
    written = (place.home() / "two" / place.RUNNING).stat().st_mtime
    os.utime(place.home() / "one" / place.RUNNING, (written + 1, written + 1))
    broken = place.home() / "broken"
    broken.mkdir()
    (broken / place.RUNNING).write_text("{")
    assert list(place.found()) == sites
    place.forget(place.home() / "one")
    place.forget(place.home() / "one")
    assert list(place.found()) == sites[1:]
    assert list(place.found(place.home() / "one")) == []


def test_a_user_without_a_home_reads_what_to_give(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(ConfigError, match="--state"):
        place.default([])


def test_metrics_are_shown_at_one_port_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = {
        "broker": "ready at 127.0.0.1:1 (xsub 127.0.0.1:2, xpub 127.0.0.1:3)",
        "subscriber": "ready at http://127.0.0.1:4, broker 127.0.0.1:1",
    }
    monkeypatch.setattr(Part, "spawn", lambda _: None)
    monkeypatch.setattr(Part, "ready", lambda part: lines.get(part.title, "ready at 127.0.0.1:5, "))
    roots = [Served("a", str(tmp_path)), Served("b", str(tmp_path))]
    with Site(tmp_path, FREE, "", None, Address("127.0.0.1", 9100)) as site:
        site.start(roots)
        expected = ["broker", "subscriber", "publisher of a", "publisher of b"]
        assert site.metrics == {title: f"127.0.0.1:{9100 + n}" for n, title in enumerate(expected)}
        given = {part.title: part.given for part in site._parts}
        for title, where in site.metrics.items():
            assert given[title][given[title].index("--metrics") + 1] == where
    with Site(tmp_path, FREE, "", None) as site:
        site.start(roots)
        assert not any("--metrics" in part.given for part in site._parts)


@pytest.mark.parametrize(
    ("listens", "here"),
    [("http://0.0.0.0:80", "http://127.0.0.1:80"), ("https://[::]:443", "https://[::1]:443")],
)
def test_a_site_that_listens_everywhere_is_named_by_an_address_that_browsers_reach(listens, here):
    assert place.reachable(listens) == here
    assert place.reachable(here) == here
