"""Parser of ``caterva2``, which needs nothing that its commands work with."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TypeAlias

from caterva2.cli import arguments

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def caterva2() -> argparse.ArgumentParser:
    """Make the parser of ``caterva2``."""
    made = arguments.bare_parser(
        "caterva2", "Serve data from this machine, open its pages, and find what is wrong."
    )
    made.epilog = (
        "Other commands: cat2cli reads data of a subscriber; cat2bro, cat2pub and cat2sub run a "
        "broker, a publisher and a subscriber each; cat2keys makes their keys; cat2import and "
        "cat2export convert HDF5 files and Zarr stores. Each has --help and a man page."
    )
    commands = made.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for add in (_serve, _open, _doctor, _settings, _completion):
        add(commands)
    return made


def _serve(commands: Commands) -> None:
    text = "Start a broker, a publisher of each source and a subscriber, until Ctrl+C."
    command = commands.add_parser("serve", help=text, description=text)
    command.set_defaults(work="site.serving")
    command.add_argument(
        "sources",
        nargs="*",
        metavar="SOURCE",
        help="directory, HDF5 file, Zarr store or URL of a bucket, served as a root of its name, "
        "or NAME=SOURCE (default: the bundled example, as foo, unless there is an upstream)",
    )
    command.add_argument(
        "--http",
        metavar="HOST:PORT",
        help="address of the pages (default: 127.0.0.1:8002, or any port if that one is taken)",
    )
    command.add_argument(
        "--state",
        type=Path,
        metavar="DIR",
        help="cache and logs, kept for the next start "
        "(default: one for these sources in $XDG_STATE_HOME/caterva2 or ~/.local/state/caterva2)",
    )
    command.add_argument(
        "--quota", metavar="SIZE", default="10GB", help="of the cache (default: 10GB; '' for none)"
    )
    command.add_argument(
        "--metrics",
        metavar="HOST:PORT",
        help="where the broker shows metrics and health; the subscriber does at the next port, and "
        "the publishers at those after it (default: none)",
    )
    arguments.add_upstream(command)
    command.add_argument("--conf", type=Path, metavar="FILE", help="more settings (default: none)")


def _open(commands: Commands) -> None:
    text = "Open the page of a running site, or of a dataset in it, in a browser."
    command = commands.add_parser("open", help=text, description=text)
    command.set_defaults(work="site.opening")
    command.add_argument(
        "what", nargs="?", default="", metavar="ROOT[/PATH]", help="or a URL (default: all roots)"
    )
    command.add_argument("--url", metavar="URL", help="of a subscriber (default: CATERVA2_URL)")
    command.add_argument("--state", type=Path, metavar="DIR", help="as given to serve")
    command.add_argument(
        "--conf", type=Path, metavar="FILE", help="settings (default: caterva2.toml, if there)"
    )
    command.add_argument("--print", action="store_true", help="print the address only")


def _doctor(commands: Commands) -> None:
    text = "Say what is wrong with the set-up of this machine, and what to do about it."
    command = commands.add_parser("doctor", help=text, description=text)
    command.set_defaults(work="doctor.examination")
    command.epilog = "Exit code: 0, or 1 if something is wrong."
    command.add_argument(
        "--conf", type=Path, metavar="FILE", help="settings (default: caterva2.toml, if there)"
    )
    command.add_argument("--all", action="store_true", help="print what is right, too")
    command.add_argument("--json", action="store_true", help="print all as JSON")


def _settings(commands: Commands) -> None:
    text = "Print a caterva2.toml with all settings and their defaults."
    command = commands.add_parser("settings", help=text, description=text)
    command.set_defaults(work="documents.samples")
    text = "with the few that three services on one machine need"
    command.add_argument("--standalone", action="store_true", help=text)


def _completion(commands: Commands) -> None:
    text = "Print what a shell completes all commands with."
    command = commands.add_parser("completion", help=text, description=text)
    command.set_defaults(work="documents.completions")
    command.epilog = 'For bash, put eval "$(caterva2 completion bash)" into ~/.bashrc.'
    command.add_argument("shell", choices=("bash", "zsh", "tcsh"))
