"""What is installed: extras, and that each is tried alone."""

from __future__ import annotations

import itertools
import re
import tomllib
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
TEXT = (TOP / "pyproject.toml").read_text()
PROJECT = tomllib.loads(TEXT)["project"]
EXTRAS = PROJECT["optional-dependencies"]


def test_each_extra_is_installed_alone_by_the_script() -> None:
    script = (TOP / "bin" / "pythons").read_text()
    assert set(re.findall(r"^    \[([\w-]+)\]=", script, re.MULTILINE)) == set(EXTRAS)


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_brings_something_or_says_why_not(extra: str) -> None:
    if not EXTRAS[extra]:
        assert re.search(rf"^{extra} = \[\]  # empty: .{{20}}", TEXT, re.MULTILINE)


def test_an_extra_names_only_extras_that_there_are() -> None:
    for lines in EXTRAS.values():
        for line in lines:
            if named := re.fullmatch(r"caterva2\[([\w,-]+)\]", line):
                assert set(named[1].split(",")) <= set(EXTRAS)


def test_each_requirement_has_a_least_version() -> None:
    for line in [*PROJECT["dependencies"], *itertools.chain(*EXTRAS.values())]:
        assert line.startswith("caterva2[") or re.match(r"[\w-]+(\[\w+\])?>=\d", line), line
