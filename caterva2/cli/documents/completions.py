"""Completions for shells: printed by ``caterva2 completion``, made from the parsers by shtab."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Iterator
from pathlib import Path

from caterva2.cli.documents.samples import PLACES

COMMANDS = (
    "caterva2", "cat2bro", "cat2pub", "cat2sub", "cat2cli", "cat2keys", "cat2import", "cat2export",
)  # fmt: skip
SHELLS = {"bash": "{}", "zsh": "_{}", "tcsh": "{}.csh"}
"""The shells, and how each one's file for a command is called."""
_FILES, _DIRECTORIES = ("FILE", "SOURCE", "TARGET", "LOCAL", "LIST"), ("DIR",)
"""Metavars of arguments that are paths."""


def run(options: argparse.Namespace) -> int:
    """Print the completions of all commands for a shell, and return the exit code."""
    place = next(place for each in PLACES if (place := each / "completions").exists())
    for command in COMMANDS:
        print((place / options.shell / SHELLS[options.shell].format(command)).read_text())
    return 0


def make(command: str, shell: str) -> str:
    """Make the completion of a command for a shell."""
    import shtab

    parser: argparse.ArgumentParser = importlib.import_module(
        f"caterva2.cli.{command}"
    ).make_parser()
    for action in _actions(parser):
        if action.metavar in _FILES:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
        elif action.metavar in _DIRECTORIES:
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
    text: str = shtab.complete(parser, shell=shell)
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _actions(command)


def write(directory: Path) -> None:
    """Write the completions of all commands, a directory for each shell."""
    for shell, named in SHELLS.items():
        (directory / shell).mkdir(parents=True, exist_ok=True)
        for command in COMMANDS:
            (directory / shell / named.format(command)).write_text(make(command, shell))
