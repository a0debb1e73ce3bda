"""The man pages in the checkout are those of the parsers."""

from __future__ import annotations

import argparse
import importlib
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from caterva2.cli.documents import samples
from caterva2.cli.documents.manpages import COMMANDS, page, settings

PAGES = Path(__file__).parents[2] / "docs" / "man"


def words(text: str) -> set[str]:
    """Options and commands of a page."""
    plain = text.replace("\\-", "-").replace("\\fB", " ").replace("\\fR", " ").replace("\\fI", " ")
    return set(re.findall(r"(?<![\w-])--?[a-z][\w-]*|(?<=')[a-z]+(?=')", plain))


def options(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        yield from action.option_strings
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from options(command)


@pytest.mark.parametrize("command", COMMANDS)
def test_page_tells_every_option(command: str) -> None:
    parser = importlib.import_module(f"caterva2.cli.{command}").make_parser()
    kept = (PAGES / f"{command}.1").read_text()
    assert set(options(parser)) - {"-h", "--help"} <= words(kept)


@pytest.mark.parametrize("command", COMMANDS)
def test_page_is_up_to_date(command: str) -> None:
    """If not: python -m caterva2.cli.documents."""
    assert words((PAGES / f"{command}.1").read_text()) == words(page(command))


def test_the_page_of_settings_has_all_of_them() -> None:
    """If not: python -m caterva2.cli.documents."""

    def names(text: str) -> list[str]:
        return re.findall(r"^\\fB(\w+)\\fR = ", text, re.MULTILINE)

    kept = (PAGES.with_name("man5") / "caterva2.toml.5").read_text()
    assert names(kept) == names(settings())
    assert names(kept) == [each.name for each in samples.settings(samples.sample())]


@pytest.mark.skipif(shutil.which("groff") is None, reason="there is no groff")
def test_pages_have_no_warnings(tmp_path: Path) -> None:
    pages = [*PAGES.iterdir(), *PAGES.with_name("man5").iterdir()]
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", "-z", *map(str, pages)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("command", COMMANDS)
def test_page_has_a_line_for_whatis(command: str) -> None:
    named = re.search(r"\.SH NAME\n(.*)\n", (PAGES / f"{command}.1").read_text())
    assert named
    assert re.fullmatch(rf"{command} \\- [a-z].{{10,120}}", named[1])


def test_there_is_a_page_for_every_command() -> None:
    assert {path.stem for path in PAGES.iterdir()} == set(COMMANDS)
