"""caterva2.toml: command line over file over defaults, and refusal of what is not known."""

from __future__ import annotations

from pathlib import Path

import pydantic
import pytest

from caterva2 import config
from caterva2.config import BrokerSettings, ClientSettings, PublisherSettings, SubscriberSettings
from caterva2.errors import ConfigError


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    return tmp_path / "c.toml"


@pytest.mark.parametrize("kind", config.SECTIONS.values())
def test_defaults_without_a_file(
    kind: type[config.Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert config.load(kind) == kind()


def test_the_file_in_the_current_directory_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / config.FILE).write_text("[broker]\nstatedir = 'here'\n")
    monkeypatch.chdir(tmp_path)
    assert config.load(BrokerSettings).statedir == "here"


def test_the_command_line_goes_over_the_file(toml: Path) -> None:
    toml.write_text("[subscriber]\nhttp = 'a:1'\nbroker = 'b:2'\n")
    settings = config.load(SubscriberSettings, toml, {"http": "c:3", "broker": None})
    assert (settings.http, settings.broker) == ("c:3", "b:2")


def test_the_section_of_an_id_goes_over_the_common_one(toml: Path) -> None:
    toml.write_text("[publisher]\nname='x'\nroot='r'\n[publisher.foo]\nname='y'\n")
    assert config.load(PublisherSettings, toml).name == "x"
    settings = config.load(PublisherSettings, toml, ident="foo")
    assert (settings.name, settings.root) == ("y", "r")


def test_sections_of_other_ids_are_no_settings(toml: Path) -> None:
    toml.write_text("[publisher.foo]\nname='y'\n")
    assert config.load(PublisherSettings, toml, ident="bar").name == ""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[borker]\n", ["borker", "'broker'"]),
        ("[broker]\nendpont='x'\n", ["endpont", "'endpoint'"]),
        ("[subscriber]\nzzz=1\n", ["zzz", "known are"]),
        ("[publisher.foo]\nnaem='x'\n", ["naem", "'name'"]),
        ("[broker.foo]\nendpoint='x'\n", ["foo"]),
        ("broker = 1\n", ["broker", "section"]),
        ("[client]\nsubscriber=8002\n", ["[client]", "subscriber"]),
        ("[client]\nloglevel='loud'\n", ["[client]", "loglevel"]),
        ("[publisher.foo.endpoint]\nx=1\n", ["endpoint"]),
        ('[publisher.foo]\nread = ["a", "b\\u0000"]\n', ["null byte", "publisher.foo.read"]),
    ],
)
def test_refused(toml: Path, text: str, words: list[str]) -> None:
    toml.write_text(text)
    with pytest.raises(ConfigError) as caught:
        kind = PublisherSettings if "publisher" in text else ClientSettings
        config.load(kind, toml, ident="foo")
    assert all(word in caught.value.detail for word in [*words, str(toml)])


@pytest.mark.parametrize("content", [b"[broker", b"\xff\xfe", b"[a]\n[a]\n", b"a=" + b"[" * 2000])
def test_a_file_that_is_no_toml_is_refused(toml: Path, content: bytes) -> None:
    toml.write_bytes(content)
    with pytest.raises(ConfigError, match=r"c\.toml"):
        config.load(BrokerSettings, toml)


def test_a_named_file_must_exist(toml: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        config.load(BrokerSettings, toml)


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        config.load(BrokerSettings, tmp_path)


def test_settings_are_frozen() -> None:
    with pytest.raises(pydantic.ValidationError):
        BrokerSettings().endpoint = "x"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[broker]\nxsub='a:1'\nxpub='a:1'\n", "a:1 is used twice"),
        ("[broker]\ncurve='required'\ninsecure=true\n", "asks for keys"),
        ("[subscriber]\nbroker=''\nbroker_key='k'\n", "there is none"),
        ("[subscriber]\nadvertise='http://a:1'\n", "dask names none"),
        ("[subscriber]\nworkers=2\nssl_certfile='c'\n", "without TLS"),
        ("[subscriber]\nquota='1GB'\nuser_quota='2GB'\n", "user_quota = 2GB is more"),
        ("[client]\ntoken='t'\nusername='u'\npassword='p'\n", "leave one of them out"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(toml: Path, text: str, words: str) -> None:
    toml.write_text(text)
    section = text[1 : text.index("]")]
    with pytest.raises(ConfigError) as caught:
        config.load(config.SECTIONS[section], toml)
    assert f"{toml}: [{section}] " in caught.value.detail
    assert words in caught.value.detail
