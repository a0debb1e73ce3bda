"""Parsers of the services and tools, which need none of the packages that these work with."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TypeAlias

from caterva2.cli import arguments
from caterva2.cli.site.parser import caterva2

__all__ = ["cat2bro", "cat2export", "cat2import", "cat2keys", "cat2pub", "cat2sub", "caterva2"]
ROLES = ("read", "publish", "both", "mirror")
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def cat2bro() -> argparse.ArgumentParser:
    """Make the parser of ``cat2bro``."""
    made = arguments.service_parser(
        "cat2bro", "Run a broker, which announces roots and their changes to subscribers."
    )
    made.add_argument("--endpoint", metavar="HOST:PORT", help="control (default: 127.0.0.1:8000)")
    made.add_argument("--xsub", metavar="HOST:PORT", help="default: the control port + 3")
    made.add_argument("--xpub", metavar="HOST:PORT", help="default: the control port + 4")
    arguments.add_keys(made, listens=True)
    arguments.add_backups(made)
    made.add_argument(
        "--forget",
        metavar="NAME",
        action="append",
        help="drop what the stopped broker knows of this root's name, and end",
    )
    return made


def cat2pub() -> argparse.ArgumentParser:
    """Make the parser of ``cat2pub``."""
    made = arguments.service_parser(
        "cat2pub",
        "Publish a directory of Blosc2 and other files, an HDF5 file, a Zarr store or a tree of "
        "Blosc2, as a root.",
    )
    made.add_argument("--broker", metavar="HOST:PORT", help="default: 127.0.0.1:8000")
    made.add_argument("--endpoint", metavar="HOST:PORT", help="data (default: 127.0.0.1:8001)")
    made.add_argument(
        "--advertise",
        metavar="HOST[:PORT]",
        help="address of the endpoint for subscribers, if another",
    )
    arguments.add_keys(made, broker=True, listens=True)
    made.add_argument(
        "--watch",
        choices=("auto", "poll"),
        help="how changes of a directory are noticed: reported by the system, or by scanning it "
        "every 5 seconds (default: auto, which falls back to scanning)",
    )
    made.add_argument(
        "--hdf5",
        choices=("groups", "files"),
        help="whether HDF5 files of a directory are served as groups of datasets, too, or as files "
        "only (default: groups)",
    )
    made.add_argument(
        "--zarr",
        choices=("groups", "files"),
        help="whether the arrays of Zarr stores in a directory are served, or the files of the "
        "stores (default: groups)",
    )
    made.add_argument(
        "--no-sign",
        action="store_false",
        dest="sign",
        default=None,
        help="sign nothing: readers can't check then what mirrors send",
    )
    made.add_argument(
        "--option",
        action=arguments.Pairs,
        dest="options",
        metavar="NAME=VALUE",
        help="of a web server (index=KEY), or of a source that another package serves; may be "
        "given several times",
    )
    arguments.add_backups(made)
    made.add_argument("name", nargs="?", metavar="NAME", help="name of the root")
    made.add_argument(
        "root",
        nargs="?",
        metavar="SOURCE",
        help="directory, HDF5 file, Zarr store or tree to publish, URL of a bucket "
        "(s3://BUCKET/PREFIX) or web server, or SCHEME:WHERE of what another package serves",
    )
    return made


def cat2sub() -> argparse.ArgumentParser:
    """Make the parser of ``cat2sub``."""
    made = arguments.service_parser(
        "cat2sub", "Run a subscriber: it caches roots and serves them over HTTP."
    )
    made.add_argument("--broker", metavar="HOST:PORT", help="default: 127.0.0.1:8000; '' for none")
    arguments.add_keys(made, broker=True)
    arguments.add_upstream(made)
    made.add_argument(
        "--http", metavar="HOST:PORT", help="or a Unix socket's path (default: 127.0.0.1:8002)"
    )
    made.add_argument(
        "--ssl-certfile", metavar="FILE", help="serve HTTPS with this certificate, in PEM"
    )
    made.add_argument("--ssl-keyfile", metavar="FILE", help="its key, if not in the same file")
    made.add_argument(
        "--quota", metavar="SIZE", help="of cache and special roots, such as 20GB (default: none)"
    )
    made.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes that answer small slices of what is cached (default: 1, the subscriber "
        "itself)",
    )
    made.add_argument(
        "--dask",
        metavar="URL",
        help="scheduler of a Dask cluster that computes large expressions, such as tcp://HOST:8786",
    )
    made.add_argument(
        "--advertise",
        metavar="URL",
        help="where the workers of the cluster reach this subscriber, if not at its address",
    )
    arguments.add_mirrors(made)
    arguments.add_backups(made)
    made.add_argument(
        "--with-cache", action="store_true", help="with --backup: of what is cached, too"
    )
    made.add_argument(
        "--repair", action="store_true", help="verify and repair the whole cache, and end"
    )
    made.add_argument(
        "--add-user",
        metavar="EMAIL",
        help="add an account, or set its password, and end; the password is read from the "
        "terminal, or from a line of standard input",
    )
    made.add_argument(
        "--disable", metavar="USER", help="end the sessions of an account, let none begin, and exit"
    )
    made.add_argument("--enable", metavar="USER", help="let an account be used again, and exit")
    made.add_argument(
        "--superuser", action="store_true", help="with --add-user: the user may administer accounts"
    )
    return made


def cat2keys() -> argparse.ArgumentParser:
    """Make the parser of ``cat2keys``."""
    made = arguments.bare_parser(
        "cat2keys", "Make the keys of services, and say which keys of others are admitted."
    )
    made.epilog = (
        "A LIST is a file of lines NAME KEY ROLE ROOTS, or the state directory of a broker or "
        "publisher, whose list it is then. A running service reads it again when it changes."
    )
    commands = made.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, text in (
        ("new", "make the key pair of a service, and print its public key"),
        ("show", "print the public key of a service"),
        ("check", "check the key and the list of a service"),
    ):
        command = commands.add_parser(name, help=text, description=f"{text.capitalize()}.")
        command.add_argument(
            "directory", type=Path, nargs="+", metavar="DIR", help="its state directory"
        )
        if name != "check":
            command.add_argument(
                "--signing", action="store_true",
                help="the key with which a publisher signs what mirrors pass on",
            )  # fmt: skip
        if name == "new":
            command.add_argument(
                "--replace", action="store_true",
                help="make another one; the one of before is kept as key.old, or says that the "
                "new signing key is of this publisher",
            )  # fmt: skip
            command.add_argument(
                "--root", default="", metavar="NAME",
                help="the root of which the signing key says so; default: that of its publisher's "
                "last run",
            )  # fmt: skip
    _list_commands(commands)
    text = "print the settings by which publishers and subscribers elsewhere reach a broker"
    command = commands.add_parser("invite", help=text, description=f"{text.capitalize()}.")
    command.add_argument("directory", type=Path, metavar="DIR", help="the broker's state directory")
    command.add_argument(
        "--broker", metavar="HOST:PORT", required=True, help="its address as others see it"
    )
    return made


def _list_commands(commands: Commands) -> None:
    for name, text in (
        ("allow", "admit a key"),
        ("revoke", "admit a key no longer, and end its connections"),
        ("list", "print who is admitted"),
    ):
        command = commands.add_parser(name, help=text, description=f"{text.capitalize()}.")
        command.add_argument("list", type=Path, metavar="LIST")
        if name == "allow":
            command.add_argument("name", metavar="NAME", help="of the holder; it may have two keys")
            command.add_argument(
                "key", metavar="KEY", help="a public key, or a state directory on this machine"
            )
            command.add_argument("role", metavar="ROLE", choices=ROLES)
            command.add_argument(
                "roots", nargs="+", metavar="ROOT", help="names or patterns, such as 'lab-*'"
            )
        if name == "revoke":
            command.add_argument("who", metavar="NAME|KEY")


def cat2import() -> argparse.ArgumentParser:
    """Make the parser of ``cat2import``."""
    text = (
        "Convert an HDF5 file, or a Zarr store in a directory or a zip file, to a directory of "
        "Blosc2 arrays."
    )
    return _conversion("cat2import", text, "SOURCE", "DIR")


def cat2export() -> argparse.ArgumentParser:
    """Make the parser of ``cat2export``."""
    text = "Convert a directory of Blosc2 arrays to an HDF5 file or a Zarr store."
    made = _conversion("cat2export", text, "DIR", "TARGET")
    made.add_argument(
        "--format",
        choices=("hdf5", "zarr"),
        help="what the target becomes (default: zarr for NAME.zarr and, in a zip file, for "
        "NAME.zip; hdf5 for any other)",
    )
    made.add_argument(
        "--compression",
        choices=("keep", "blosc2"),
        default="keep",
        help="of HDF5: the filters that imported data had and those of Blosc2 for all else, or "
        "those of Blosc2 for everything, which needs no recompression (default: keep)",
    )
    return made


def _conversion(prog: str, description: str, source: str, target: str) -> argparse.ArgumentParser:
    """Make the parser of either command."""
    made = arguments.bare_parser(prog, description)
    made.epilog = (
        "Exit code: 0 if everything was converted, 1 if something was skipped or it failed, 2 for "
        "a wrong command line. The result appears when it is complete."
    )
    made.add_argument("source", type=Path, metavar=source)
    made.add_argument("target", type=Path, metavar=target)
    made.add_argument("--force", action="store_true", help="replace a target that exists")
    made.add_argument(
        "--lenient", action="store_true", help="exit with 0 even if something was skipped"
    )
    made.add_argument("--json", action="store_true", help="print the report as JSON")
    return made
