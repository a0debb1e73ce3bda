"""Entry points of services and tools; without their extras they say what to install.

``python -m caterva2.cli.launch COMMAND ...`` runs a command as its script does; with ``--tied``
before its name it ends when its standard input does.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

from caterva2.cli import parsers


def cat2bro() -> int:
    """Run ``cat2bro`` and return its exit code."""
    return _launch("cat2bro")


def cat2pub() -> int:
    """Run ``cat2pub`` and return its exit code."""
    return _launch("cat2pub")


def cat2sub() -> int:
    """Run ``cat2sub`` and return its exit code."""
    return _launch("cat2sub")


def cat2keys() -> int:
    """Run ``cat2keys`` and return its exit code."""
    return _launch("cat2keys")


def cat2import() -> int:
    """Run ``cat2import`` and return its exit code."""
    return _launch("cat2import", "hdf5")


def cat2export() -> int:
    """Run ``cat2export`` and return its exit code."""
    return _launch("cat2export", "hdf5")


def cat2cli() -> int:
    """Run ``cat2cli`` and return its exit code."""
    return _launch("cat2cli")


def caterva2() -> int:
    """Run ``caterva2`` and return its exit code."""
    return _launch("caterva2")


def tie() -> None:
    """End this process when standard input ends: with the process at the pipe's other end."""

    def wait() -> None:
        while os.read(0, 4096):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="tie", daemon=True).start()


def _launch(command: str, extra: str = "services") -> int:
    try:
        code: int = _loaded(command).main()
    except ModuleNotFoundError as error:
        make_parser: Callable[[], argparse.ArgumentParser] = getattr(parsers, command)
        make_parser().parse_args()  # --help and --version need no extra
        hint = f"pip install 'caterva2[{extra}]'"
        print(f"{command}: {error.name} is not installed: {hint}", file=sys.stderr)
        return 1
    return code


def _loaded(command: str) -> Any:
    """Return the module of a command.

    Modules stay to the end: looking for garbage among them, again and again while they are loaded
    and once more before a service begins, is a sixth of a subscriber's start.
    """
    gc.disable()
    try:
        return importlib.import_module(f"caterva2.cli.{command}")
    finally:
        gc.freeze()
        gc.enable()


COMMANDS: dict[str, Callable[[], int]] = {
    made.__name__: made
    for made in (caterva2, cat2bro, cat2pub, cat2sub, cat2cli, cat2keys, cat2import, cat2export)
}


if __name__ == "__main__":
    if sys.argv[1] == "--tied":
        del sys.argv[1]
        tie()
    sys.exit(COMMANDS[sys.argv.pop(1)]())
