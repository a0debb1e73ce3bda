"""Command lines: shared options, the log, and errors as one line."""

from __future__ import annotations

import argparse
import contextlib
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from caterva2 import config
from caterva2.errors import CatervaError
from caterva2.runtime.logs.log import complain as complain
from caterva2.version import __version__

KEYS = ("curve", "key", "allowed", "insecure")
"""Settings about keys of services that listen."""


def bare_parser(prog: str, description: str) -> argparse.ArgumentParser:
    """Make the parser of a command without settings."""
    made = argparse.ArgumentParser(prog=prog, description=description)
    made.add_argument("--version", action="version", version=f"{prog} {__version__}")
    return made


def parser(prog: str, description: str) -> argparse.ArgumentParser:
    """Make the parser of a command with settings."""
    made = bare_parser(prog, description)
    made.add_argument(
        "--conf", type=Path, metavar="FILE", help=f"settings (default: {config.FILE}, if there)"
    )
    return made


def service_parser(prog: str, description: str) -> argparse.ArgumentParser:
    """Make the parser of a service."""
    made = parser(prog, description)
    made.add_argument("--statedir", metavar="DIR", help="directory of the persistent state")
    made.add_argument(
        "--id", default="", metavar="ID", help="also read the settings in [SECTION.ID]"
    )
    made.add_argument(
        "--loglevel", choices=("debug", "info", "warning", "error"), help="default: info"
    )
    made.add_argument(
        "--log-format", choices=("auto", "text", "journal", "json"),
        help="of the lines of the log (default: auto, which is journal if systemd's journal reads "
        "them, else text)",
    )  # fmt: skip
    made.add_argument(
        "--metrics", metavar="HOST:PORT", help="where metrics and health are shown (default: none)"
    )
    return made


def add_backups(made: argparse.ArgumentParser) -> None:
    """Add the options about backups to the parser of a service."""
    one = made.add_mutually_exclusive_group()
    one.add_argument(
        "--backup", type=Path, metavar="DIR",
        help="copy the state directory, of a running service too, to a new directory, and end",
    )  # fmt: skip
    one.add_argument(
        "--restore", type=Path, metavar="DIR",
        help="make the state directory, which must be missing or empty, of a backup, and end",
    )  # fmt: skip
    one.add_argument(
        "--check", action="store_true", help="say what is wrong with the state directory, and end"
    )
    made.add_argument(
        "--force", action="store_true",
        help="with --restore: rename a state directory that is there to NAME.before",
    )  # fmt: skip


def is_upkeep(options: argparse.Namespace) -> bool:
    """Return whether a command line asks for a backup or a check, not for a service."""
    return options.check or options.backup is not None or options.restore is not None


def add_keys(made: argparse.ArgumentParser, *, broker: bool = False, listens: bool = False) -> None:
    """Add the options about keys to the parser of a service."""
    made.add_argument(
        "--curve",
        choices=("off", "auto", "required"),
        help="whether links are encrypted and authenticated by keys (default: auto, where there is "
        "a list of admitted keys or the key of the broker)",
    )
    made.add_argument("--key", metavar="FILE", help="its key pair (default: STATEDIR/key)")
    if broker:
        made.add_argument("--broker-key", metavar="KEY", help="public key of the broker")
    if listens:
        made.add_argument(
            "--allowed", metavar="FILE", help="keys that are admitted (default: STATEDIR/allowed)"
        )
        made.add_argument(
            "--insecure",
            action="store_true",
            default=None,
            help="listen to other machines without keys",
        )


def add_mirrors(made: argparse.ArgumentParser) -> None:
    """Add the options about roots that a subscriber serves again."""
    made.add_argument(
        "--publish", metavar="ROOT[/PATH]", action="append",
        help="serve a root, or a part of it such as beam/run42/*, again; may be repeated",
    )  # fmt: skip
    made.add_argument(
        "--publish-to", metavar="HOST:PORT",
        help="broker of another site that announces them (default: beside their publishers)",
    )  # fmt: skip
    made.add_argument(
        "--trust", choices=("first-use", "signed", "connection"),
        help="what its origin must have signed: what comes by mirrors, if the origin is known to "
        "sign; all; or nothing (default: first-use)",
    )  # fmt: skip
    made.add_argument(
        "--publish-endpoint", metavar="HOST:PORT",
        help="where they are served, each at a port of its own (default: 127.0.0.1 and any ports)",
    )  # fmt: skip


class Pairs(argparse.Action):
    """An option ``NAME=VALUE`` that may be given several times."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        name, equals, value = str(values).partition("=")
        if not name or not equals:
            parser.error(f"{option_string} {values}: write NAME=VALUE")
        known = getattr(namespace, self.dest) or {}
        setattr(namespace, self.dest, {**known, name: value})


def add_upstream(made: argparse.ArgumentParser) -> None:
    """Add the options about an upstream to the parser of what runs a subscriber."""
    made.add_argument(
        "--upstream",
        metavar="URL",
        help="another subscriber whose roots are taken, such as https://lab.example",
    )
    made.add_argument(
        "--upstream-token-file", metavar="FILE", help="with the API token for it, mode 0600"
    )
    made.add_argument(
        "--upstream-ca-file", metavar="FILE", help="CAs of its certificate (default: the system's)"
    )


@contextlib.contextmanager
def plain_warnings(prog: str) -> Iterator[None]:
    """Print warnings as errors are printed, without the place in the code."""

    def show(message: Warning | str, *_: object, **__: object) -> None:
        complain(prog, str(message))

    with warnings.catch_warnings():
        warnings.filterwarnings("default", category=UserWarning)
        warnings.showwarning = show
        yield


def guarded(prog: str, work: Callable[[], int]) -> int:
    """Run a command; turn its errors into one line on standard error and an exit code."""
    try:
        return work()
    except CatervaError as error:
        complain(prog, str(error))
        return error.exit_code
    except OSError as error:
        complain(prog, f"{error.filename}: {error.strerror}" if error.filename else str(error))
        return 1
    except KeyboardInterrupt:
        return 130
    except SystemError as error:
        if not isinstance(error.__cause__, KeyboardInterrupt):
            raise
        return 130  # the interruption came within a lock of h5py


def settings(kind: type[config.S], options: argparse.Namespace, *names: str) -> config.S:
    """Return the settings of a service: its options over the file over the defaults."""
    given: dict[str, Any] = {name: getattr(options, name) for name in names}
    return config.load(kind, options.conf, given, options.id)
