"""Entry points of services and tools; without their extras they say what to install."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable

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


def cat2import() -> int:
    """Run ``cat2import`` and return its exit code."""
    return _launch("cat2import", "hdf5")


def cat2export() -> int:
    """Run ``cat2export`` and return its exit code."""
    return _launch("cat2export", "hdf5")


def _launch(command: str, extra: str = "services") -> int:
    try:
        module = importlib.import_module(f"caterva2.cli.{command}")
        code: int = module.main()
    except ModuleNotFoundError as error:
        make_parser: Callable[[], argparse.ArgumentParser] = getattr(parsers, command)
        make_parser().parse_args()  # --help and --version need no extra
        hint = f"pip install 'caterva2[{extra}]'"
        print(f"{command}: {error.name} is not installed: {hint}", file=sys.stderr)
        return 1
    return code
