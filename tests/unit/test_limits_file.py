"""``[limits.GROUP]`` in caterva2.toml: defaults, sizes as text, and refusal of nonsense."""

from __future__ import annotations

import dataclasses
import re
from operator import attrgetter
from pathlib import Path

import pytest

from caterva2 import config
from caterva2.config import limits as limits_file
from caterva2.config import load_limits
from caterva2.errors import ConfigError
from caterva2.limits import DEFAULTS, Range
from caterva2.limits.constants import KIB, MIB

SAMPLE = Path(__file__).parents[2] / "conf" / "caterva2.sample.toml"
EVERY = [
    (group, field.name)
    for group in limits_file.GROUPS
    for field in dataclasses.fields(getattr(DEFAULTS, group))
]


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    return tmp_path / "c.toml"


def written(value: float, allowed: Range) -> str:
    """A value as the sample shows it: sizes with the largest unit that divides them."""
    if isinstance(value, float):
        return f"{value:_g}" if value % 1 == 0 else f"{value:g}"
    if not allowed.size:
        return f"{value:_}"
    for unit, size in [("TiB", 2**40), ("GiB", 2**30), ("MiB", MIB), ("KiB", KIB)]:
        if value % size == 0:
            return f'"{value // size}{unit}"'
    return f"{value:_}"


def expected_sample() -> str:
    """The end of the sample file: all limits with their defaults, commented out."""
    lines = []
    for group in limits_file.GROUPS:
        lines += ["", f"# [limits.{group}]"]
        for name, allowed in limits_file.ranges(group).items():
            value = getattr(getattr(DEFAULTS, group), name)
            lines.append(f"# {name} = {written(value, allowed)}")
    return "\n".join(lines) + "\n"


def test_without_a_file_the_defaults_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_limits() == DEFAULTS


def test_a_limit_is_set_and_the_others_stay(toml: Path) -> None:
    toml.write_text("[limits.web]\nmembers = 7\n[limits.wire]\nfirst_byte = 2\n")
    limits = load_limits(toml)
    assert (limits.web.members, limits.wire.first_byte) == (7, 2.0)
    assert type(limits.wire.first_byte) is float
    assert dataclasses.replace(limits.web, members=DEFAULTS.web.members) == DEFAULTS.web
    assert limits.cache is DEFAULTS.cache


@pytest.mark.parametrize(
    ("text", "size"),
    [("4096", 4096), ('"64KiB"', 65536), ('"1.5MB"', 1_500_000), ('"2 MiB"', 2 * MIB)],
)
def test_sizes_are_numbers_or_text(toml: Path, text: str, size: int) -> None:
    toml.write_text(f"[limits.web]\nstream_part = {text}\n")
    assert load_limits(toml).web.stream_part == size


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("limits = 1\n", ["limits", "section"]),
        ("[limits]\nweb = 1\n", ["web", "[limits.web]"]),
        ("[limits]\nmembers = 1\n", ["members", "belongs to [limits.web]"]),
        ("[limits.wbe]\n", ["wbe", "'web'"]),
        ("[limits.zzz]\n", ["zzz", "known are", "wire, broker"]),
        ("[limits.web]\nmembres = 1\n", ["membres", "[limits.web]", "'members'"]),
        ("[limits.web]\nroots = 1\n", ["roots", "belongs to [limits.broker]"]),
        ("[limits.web]\n__class__ = 1\n", ["__class__", "known are"]),
        ("[limits.web]\nmembers = -1\n", ["[limits.web] members = -1", "from 1"]),
        ("[limits.web]\nmembers = 0\n", ["members = 0", "from 1"]),
        ("[limits.web]\nmembers = 1_000_000_000_000\n", ["members", "to 1,000,000,000"]),
        (f"[limits.web]\nmembers = {'9' * 400}\n", ["members", "to 1,000,000,000"]),
        ("[limits.web]\nmembers = 2.5\n", ["members = 2.5", "whole number"]),
        ("[limits.web]\nmembers = true\n", ["members = True", "whole number"]),
        ("[limits.web]\nmembers = '1KB'\n", ["members", "whole number"]),
        ("[limits.web]\nmembers = []\n", ["members", "whole number"]),
        ("[limits.web]\nstream_part = 'much'\n", ["'much' is not a size", "2GiB"]),
        ("[limits.web]\nstream_part = ''\n", ["stream_part", "a size such as"]),
        ("[limits.web]\nstream_part = '0MB'\n", ["stream_part", "from 1"]),
        ("[limits.web]\nstream_part = '9999TB'\n", ["stream_part", "from 1"]),
        ("[limits.web]\nstalled = nan\n", ["stalled = nan", "from 0.001"]),
        ("[limits.web]\nstalled = inf\n", ["stalled = inf", "from 0.001"]),
        ("[limits.web]\nstalled = -1.0\n", ["stalled = -1.0", "from 0.001"]),
        ("[limits.web]\nstalled = 0\n", ["stalled = 0", "from 0.001"]),
        ("[limits.web]\nstalled = '1s'\n", ["stalled = '1s'", "seconds"]),
        ("[limits.web]\nstalled = 12:00:00\n", ["stalled", "seconds"]),
        ("[limits.wire]\nrequest_deadline = 601\n", ["request_deadline", "600"]),
        ("[limits.broker]\nsnapshot_page = 401\n", ["snapshot_page", "400"]),
        (
            "[limits.web]\nsmall_output = '2GiB'\nsmall_outputs_bytes = '4GiB'\n",
            ["web.small_output <= web.outputs_bytes", "2,147,483,648 and 1,073,741,824"],
        ),
    ],
)  # fmt: skip
def test_refused(toml: Path, text: str, words: list[str]) -> None:
    toml.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_limits(toml)
    assert all(word in caught.value.detail for word in [*words, str(toml)]), caught.value.detail


@pytest.mark.parametrize("rule", limits_file.ORDERED)
def test_limits_that_contradict_each_other_are_refused(
    rule: str, monkeypatch: pytest.MonkeyPatch, toml: Path
) -> None:
    group, name = rule.split()[0].split(".")
    greater = attrgetter(rule.split()[2])(DEFAULTS)
    toml.write_text(f"[limits.{group}]\n{name} = {greater * 2}\n")
    if greater == limits_file.ranges(group)[name].most:
        other = rule.split(".")[-1]
        toml.write_text(f"[limits.{group}]\n{name} = {greater}\n{other} = {greater // 2}\n")
    with pytest.raises(ConfigError, match=re.escape(f"{group}.{name} <")):
        load_limits(toml)


def test_every_default_makes_sense() -> None:
    for group, name in EVERY:
        allowed = limits_file.ranges(group)[name]
        value = getattr(getattr(DEFAULTS, group), name)
        assert allowed.least <= value <= allowed.most, (group, name)
        assert not allowed.size or isinstance(value, int), (group, name)


def test_settings_and_limits_share_a_file(toml: Path) -> None:
    toml.write_text("[broker]\nstatedir = 'here'\n[limits.broker]\nroots = 5\n")
    assert config.load(config.BrokerSettings, toml).statedir == "here"
    assert load_limits(toml).broker.roots == 5


def test_the_sample_shows_all_limits_with_their_defaults(toml: Path) -> None:
    shown = SAMPLE.read_text().partition("\n# [limits.")
    section = f"\n# [limits.{shown[2]}"
    assert section == expected_sample(), f"the end should be:\n{expected_sample()}"
    toml.write_text(re.sub(r"^# ", "", section, flags=re.MULTILINE))
    assert load_limits(toml) == DEFAULTS


def test_the_sample_is_a_valid_file() -> None:
    for kind in config.SECTIONS.values():
        config.load(kind, SAMPLE)
    assert load_limits(SAMPLE) == DEFAULTS
