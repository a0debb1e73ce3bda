"""What the commands have in common: options, the log, and errors as one line."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from caterva2 import config
from caterva2.errors import BadName, CatervaError, ConfigError
from caterva2.runtime.printable import printable
from caterva2.version import __version__

USAGE = 2
"""Exit code for a command line or configuration that makes no sense."""


def bare_parser(prog: str, description: str) -> argparse.ArgumentParser:
    """A parser of a command that has no settings."""
    made = argparse.ArgumentParser(prog=prog, description=description)
    made.add_argument("--version", action="version", version=f"{prog} {__version__}")
    return made


def parser(prog: str, description: str) -> argparse.ArgumentParser:
    """A parser with the options that every command with settings has."""
    made = bare_parser(prog, description)
    made.add_argument(
        "--conf", type=Path, metavar="FILE", help=f"settings (default: {config.FILE}, if there)"
    )
    return made


def service_parser(prog: str, description: str) -> argparse.ArgumentParser:
    """A parser with the options that every service has."""
    made = parser(prog, description)
    made.add_argument("--statedir", metavar="DIR", help="where state is kept")
    made.add_argument(
        "--id", default="", metavar="ID", help="read the settings of [SECTION.ID] too"
    )
    made.add_argument(
        "--loglevel", choices=("debug", "info", "warning", "error"), help="default: info"
    )
    return made


def start_log(level: str) -> None:
    """Log to standard error, one line an event."""
    logging.basicConfig(
        level=level.upper(),
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    for library in ("uvicorn", "watchfiles"):
        logging.getLogger(library).setLevel(logging.WARNING)


def guarded(prog: str, work: Callable[[], int]) -> int:
    """Run a command; its errors become one line on standard error and an exit code."""
    try:
        return work()
    except (ConfigError, BadName) as error:
        complain(prog, str(error))
        return USAGE
    except CatervaError as error:
        complain(prog, str(error))
        return 1
    except OSError as error:
        complain(prog, f"{error.filename}: {error.strerror}" if error.filename else str(error))
        return 1
    except KeyboardInterrupt:
        return 130


def complain(prog: str, text: str) -> None:
    """One line on standard error, whatever a text from outside holds."""
    print(f"{prog}: {printable(text)}", file=sys.stderr)


def settings(kind: type[config.S], options: argparse.Namespace, *names: str) -> config.S:
    """The settings of a service: its options over the file over the defaults."""
    given: dict[str, Any] = {name: getattr(options, name) for name in names}
    return config.load(kind, options.conf, given, options.id)
