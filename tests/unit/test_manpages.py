"""The man pages in the checkout are those of the parsers."""

from __future__ import annotations

import argparse
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from caterva2.cli.documents.manpages import COMMANDS, page

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
    """If not: python -m caterva2.cli.documents.manpages docs/man."""
    assert words((PAGES / f"{command}.1").read_text()) == words(page(command))


def test_there_is_a_page_for_every_command() -> None:
    assert {path.stem for path in PAGES.iterdir()} == set(COMMANDS)
