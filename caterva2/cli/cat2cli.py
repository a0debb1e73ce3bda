"""``cat2cli``: a subscriber from the command line."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable
from pathlib import Path

from caterva2 import config
from caterva2.cli import arguments
from caterva2.cli.commands import catalogue, credentials, users
from caterva2.cli.terminal import printing
from caterva2.cli.terminal.printing import Output
from caterva2.client.catalogue import Catalogue
from caterva2.client.http.transport import TIMEOUT
from caterva2.config import ClientSettings
from caterva2.errors import BadSelection, CatervaError, ConfigError
from caterva2.version import __version__

Work = Callable[[Catalogue, argparse.Namespace], Output | None]
PATH = "PATH"
ASKED = "The new password is asked for, or read from a line of standard input."


def make_parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="cat2cli",
        description="Look at a subscriber's roots and get their data.",
        parents=[_options()],
        epilog="Options may stand before or after the command.",
    )
    made.add_argument("--version", action="version", version=f"cat2cli {__version__}")
    made.set_defaults(json=False, subscriber=None, conf=None, timeout=TIMEOUT)
    made.set_defaults(username=None, password=None)
    subparsers = made.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def add(name: str, work: Work | str, text: str, *aliases: str) -> argparse.ArgumentParser:
        command = subparsers.add_parser(
            name, help=text, description=text, aliases=list(aliases), parents=[_options()]
        )
        command.set_defaults(work=work)
        return command

    add("roots", catalogue.roots, "List the roots; a * marks those that are subscribed to.")
    add("subscribe", catalogue.subscribe, "Follow a root.").add_argument("root", metavar="ROOT")
    text = "Follow a root no more; what is cached stays."
    add("unsubscribe", catalogue.unsubscribe, text).add_argument("root", metavar="ROOT")
    command = add("list", catalogue.listing, "List the files of a root or directory.", "ls")
    command.add_argument("path", metavar=PATH)
    command.add_argument(
        "-l", "--long", action="store_true", help="with kind, shape, dtype and size"
    )
    text = "Show the files of a root or directory as a tree."
    add("tree", catalogue.tree, text).add_argument("path", metavar=PATH)
    text = "Print the URL that downloads a file."
    add("url", catalogue.url, text).add_argument("path", metavar=PATH)
    text = "Describe a dataset, a file or a directory."
    add("info", "values.info", text).add_argument("path", metavar=PATH)
    text = "Print the values of a dataset, or of a part of it."
    add("show", "values.show", text).add_argument(
        "path",
        metavar="PATH[KEY]",
        help="such as foo/ds.b2nd[3:5, ::2], foo/ds.b2nd[[1, 5, 7]] or foo/ds.b2nd['field']",
    )
    command = add("download", "transfers.download", "Save a file or dataset.")
    command.add_argument("path", metavar=PATH)
    command.add_argument(
        "localpath", metavar="LOCAL", nargs="?",
        help="a file, a directory, or - for standard output (default: PATH)",
    )  # fmt: skip
    command = add("upload", "transfers.upload", "Put a file into a special root.")
    command.add_argument("localpath", metavar="LOCAL")
    command.add_argument("path", metavar=PATH, help="such as @public/x.b2nd, or @shared/dir/")
    command.add_argument(
        "--unpack", action="store_true", help="make a directory of a .zip or .tar.gz"
    )
    text = "Let an array in a special root grow along its first axis."
    command = add("append", "transfers.append", text)
    command.add_argument("path", metavar=PATH)
    command.add_argument("localpath", metavar="LOCAL", help="a .b2nd or .npy file")
    text = "Copy a file, a directory or a root into a special root."
    command = add("copy", catalogue.copy, text, "cp")
    command.add_argument("src", metavar="SOURCE", help="in any root")
    command.add_argument("dst", metavar="TARGET", help="a directory, or the new name")
    text = "Move a file or directory within or between special roots."
    command = add("move", catalogue.move, text, "mv")
    command.add_argument("src", metavar="SOURCE")
    command.add_argument("dst", metavar="TARGET", help="a directory, or the new name")
    text = "Remove a file, or a directory with all that is in it, from a special root."
    add("remove", catalogue.remove, text, "rm").add_argument("path", metavar=PATH)
    text = "Make a dataset that is computed of others whenever it is read."
    command = add("lazyexpr", catalogue.lazyexpr, text)
    command.add_argument(
        "name", metavar="NAME", help="in @personal, or such as @shared/NAME; .b2nd is added"
    )
    told = "such as 'a + sin(b)'; what begins with a minus is written '(-a)'"
    command.add_argument("expression", metavar="EXPRESSION", help=told)
    command.add_argument(
        "operands", metavar="NAME=PATH", nargs="*", type=catalogue.operand,
        help="the datasets that the names in it mean",
    )  # fmt: skip
    command.add_argument(
        "--compute", action="store_true", help="compute all of it now, and store the result"
    )
    text = "Have the subscriber fetch a dataset, directory or root as a whole."
    command = add("prefetch", "transfers.prefetch", text)
    command.add_argument("path", metavar=PATH)
    command.add_argument(
        "--no-wait", action="store_false", dest="wait", help="do not wait until it is done"
    )
    command.add_argument("--cancel", action="store_true", help="end it; what came stays")
    command = add("adduser", users.adduser, f"Add a user. {ASKED}")
    command.add_argument("user", metavar="EMAIL")
    command.add_argument("--superuser", action="store_true", help="who may administer users too")
    command = add("deluser", users.deluser, "Delete a user and all that belongs to the user.")
    command.add_argument("user", metavar="EMAIL")
    command.add_argument("-y", "--yes", action="store_true", help="do not ask")
    command = add("listusers", users.listusers, "List the users.", "lsu")
    command.add_argument("user", metavar="EMAIL", nargs="?", help="this one only")
    add("passwd", users.passwd, f"Change the own password. {ASKED}")
    return made


def _options() -> argparse.ArgumentParser:
    """What may stand before or after a command: the later one counts, an absent one does not."""
    made = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    made.add_argument("--json", action="store_true", help="print JSON")
    made.add_argument(
        "--subscriber", "--url", metavar="URL",
        help="default: CATERVA2_URL, or http://127.0.0.1:8002",
    )  # fmt: skip
    made.add_argument(
        "--username", "--user", metavar="NAME", help="default: CATERVA2_USERNAME, or nobody"
    )
    made.add_argument(
        "--password", "--pass", metavar="TEXT",
        help="default: CATERVA2_PASSWORD, or what is asked for, which nobody else sees as one "
        "sees command lines",
    )  # fmt: skip
    made.add_argument(
        "--timeout", type=_seconds, metavar="SECONDS",
        help=f"how long to wait for the subscriber's next byte (default: {TIMEOUT:g})",
    )  # fmt: skip
    made.add_argument(
        "--conf", type=Path, metavar="FILE", help=f"settings (default: {config.FILE}, if there)"
    )
    return made


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value <= 86_400:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and a day")
    return value


def main(argv: list[str] | None = None) -> int:
    return arguments.guarded("cat2cli", lambda: run(argv))


def run(argv: list[str] | None) -> int:
    options = make_parser().parse_args(argv)
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    settings = config.load(ClientSettings, options.conf)
    if warning := credentials.exposed(options.conf, settings):
        arguments.complain("cat2cli", warning)
    auth = credentials.chosen(options, settings)
    kind, work = _needed(options.work)
    with kind(options.subscriber or _from_file(settings), auth, options.timeout) as client:
        try:
            output = work(client, options)
            if output is not None:
                output.print(options.json)
        except BrokenPipeError:  # head(1) has seen enough
            printing.abandon()
        except BadSelection as error:
            raise ConfigError(str(error)) from None
        except (TypeError, ValueError, LookupError, AttributeError) as error:
            if isinstance(error, CatervaError):
                raise
            # An answer that no subscriber of ours gives, or a fault here: one line all the same.
            raise CatervaError(f"{type(error).__name__}: {error}") from error
        client.logout()
    return 0


def _needed(work: Work | str) -> tuple[type[Catalogue], Work]:
    """The client that a command needs, and the command.

    One that is only named reads or writes data: numpy and Blosc2 are loaded for it, which takes
    longer than all that the others do.
    """
    if not isinstance(work, str):
        return Catalogue, work
    from caterva2.client import Client

    module, name = work.split(".")
    found: Work = getattr(importlib.import_module(f"caterva2.cli.commands.{module}"), name)
    return Client, found


def _from_file(settings: ClientSettings) -> str | None:
    """The file's subscriber, unless it is the default that the environment may change."""
    return settings.subscriber if "subscriber" in settings.model_fields_set else None


if __name__ == "__main__":
    sys.exit(main())
