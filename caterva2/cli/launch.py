"""Starts the services' commands, and says what to install where the light client is alone."""

from __future__ import annotations

import importlib
import sys


def cat2bro() -> int:
    return _launch("cat2bro")


def cat2pub() -> int:
    return _launch("cat2pub")


def cat2sub() -> int:
    return _launch("cat2sub")


def _launch(command: str) -> int:
    try:
        module = importlib.import_module(f"caterva2.cli.{command}")
    except ModuleNotFoundError as error:
        hint = "in the checkout, pip install '.[services]'"
        print(f"{command}: {error.name} is not installed: {hint}", file=sys.stderr)
        return 1
    code: int = module.main()
    return code
