"""``cat2cli``: a client for the command line."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from caterva2 import config
from caterva2.cli import arguments
from caterva2.cli.commands import catalogue, credentials, status, users
from caterva2.cli.terminal.output import Output, abandon
from caterva2.client.client import Client
from caterva2.client.errors import Unreachable
from caterva2.client.http.transport import TIMEOUT
from caterva2.config import ClientSettings, load_limits
from caterva2.errors import BadSelection, CatervaError, ConfigError
from caterva2.version import __version__

Work = Callable[[Client, argparse.Namespace], Output | None]
PATH = "PATH"
_TYPED = "The new password is read from the terminal, or from a line of standard input."
_DESTINATION = "a directory, or the new name"
_CACHE = "default: CATERVA2_CACHE, or the user's own"


class Add(Protocol):
    """Adds a command: its function, or ``MODULE.NAME`` of one that loads numpy or Blosc2."""

    def __call__(
        self, name: str, work: Work | str, text: str, *aliases: str
    ) -> argparse.ArgumentParser: ...


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of all commands."""
    made = argparse.ArgumentParser(
        prog="cat2cli",
        description="Browse the roots of a subscriber, read their data and change special roots.",
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

    _add_catalogue(add)
    _add_data(add)
    _add_taking(add)
    _add_special_roots(add)
    _add_accounts(add)
    return made


def _add_catalogue(add: Add) -> None:
    add("roots", catalogue.roots, "List the roots; a * marks those that are subscribed to.")
    command = add("subscribe", catalogue.subscribe, "Subscribe to a root.")
    command.add_argument("root", metavar="ROOT")
    text = "Unsubscribe from a root; its cached data stays."
    add("unsubscribe", catalogue.unsubscribe, text).add_argument("root", metavar="ROOT")
    command = add("list", catalogue.listing, "List the files of a root or directory.", "ls")
    command.add_argument("path", metavar=PATH)
    text = "with kind, shape, dtype and size"
    command.add_argument("-l", "--long", action="store_true", help=text)
    text = "Show the files of a root or directory as a tree."
    add("tree", catalogue.tree, text).add_argument("path", metavar=PATH)
    command = add("search", catalogue.search, "Search for datasets, in all roots or in one.")
    command.add_argument("words", metavar="WORD", nargs="*", help="all of which the path has")
    command.add_argument("--in", dest="path", default="", metavar=PATH, help="a root or directory")
    command.add_argument("--dtype", help="such as float32, or a kind such as int, float or text")
    command.add_argument("--ndim", type=int, metavar="N", help="number of axes")
    command.add_argument("--shape", metavar="SIZES", help="such as 100,*,3")
    command.add_argument("--attr", metavar="NAME[=VALUE]", help="an attribute, or its value")
    command.add_argument("--limit", type=int, default=100, metavar="N", help="default: 100")
    text = "Print the URL that downloads a file."
    add("url", catalogue.url, text).add_argument("path", metavar=PATH)


def _add_data(add: Add) -> None:
    text = "Show the metadata of a dataset, a file or a directory."
    add("info", "values.info", text).add_argument("path", metavar=PATH)
    command = add("show", "values.show", "Print the values of a dataset, or of a part of it.")
    command.add_argument(
        "path", metavar="PATH[KEY]",
        help="such as foo/ds.b2nd[3:5, ::2], foo/ds.b2nd[[1, 5, 7]] or foo/ds.b2nd['field']",
    )  # fmt: skip
    command = add("stats", "values.stats", "Show statistics of an array, or of a part of it.")
    command.add_argument("path", metavar="PATH[KEY]")
    text = "of all values, however long that takes"
    command.add_argument("--exact", action="store_true", help=text)
    _add_table(add)
    _add_compute(add)
    command = add("download", "transfers.download", "Save a file or dataset.")
    command.add_argument("path", metavar=PATH)
    command.add_argument(
        "localpath", metavar="LOCAL", nargs="?",
        help="a file, a directory, or - for standard output (default: PATH)",
    )  # fmt: skip
    text = "Fetch a dataset or a slice of it, a directory or a root into the subscriber's cache."
    command = add("prefetch", "transfers.prefetch", text)
    command.add_argument("path", metavar="PATH[KEY]")
    text = "do not wait until it is done"
    command.add_argument("--no-wait", action="store_false", dest="wait", help=text)
    text = "cancel it; what was fetched stays cached"
    command.add_argument("--cancel", action="store_true", help=text)


def _add_taking(add: Add) -> None:
    text = "Take datasets, parts of them, directories and roots home, to be read without network."
    command = add("take", "taking.take", text)
    command.add_argument("paths", metavar="PATH[KEY]", nargs="+")
    _add_target(command)
    text = "list what would be taken, with sizes"
    command.add_argument("-n", "--dry-run", action="store_true", help=text)
    text = "do not ask on a terminal"
    command.add_argument("-y", "--yes", action="store_true", help=text)
    text = "Bring what was taken in step with the subscriber."
    command = add("sync", "taking.sync", text)
    _add_target(command)
    text = "remove what the subscriber does not have any more"
    command.add_argument("--delete", action="store_true", help=text)
    text = "do so even if nothing is left of a directory or root"
    command.add_argument(
        "--delete-all", action="store_const", const="all", dest="delete", help=text
    )
    text = "Show the cache of clients on this machine, or remove all that is in it."
    command = add("cache", "taking.cache", text)
    command.add_argument("action", choices=("show", "clear"), nargs="?", default="show")
    command.add_argument("--cache", metavar="DIR", help=_CACHE)
    text = "do not ask on a terminal"
    command.add_argument("-y", "--yes", action="store_true", help=text)


def _add_target(command: argparse.ArgumentParser) -> None:
    text = "a directory for files, instead of the cache"
    command.add_argument("--to", metavar="DIR", type=Path, help=text)
    command.add_argument("--cache", metavar="DIR", help=_CACHE)


def _add_table(add: Add) -> None:
    command = add("table", "values.rows", "Show some rows of a table.")
    command.add_argument("path", metavar="PATH[KEY]")
    text = "the first row, of those that match (default: 0)"
    command.add_argument("--start", type=int, metavar="N", default=0, help=text)
    command.add_argument("--count", type=int, metavar="N", default=20, help="rows (default: 20)")
    text = "a column to show, once for each (default: the first 100)"
    command.add_argument(
        "--field", metavar="NAME", action="append", default=[], dest="fields", help=text
    )
    text = "by a column; --sort=-NAME is the opposite order"
    command.add_argument("--sort", metavar="NAME", default="", help=text)
    text = "the rows that match, such as \"n > 5 & name == 'x'\""
    command.add_argument("--where", metavar="CONDITIONS", default="", help=text)


def _add_compute(add: Add) -> None:
    text = "Have the subscriber compute an expression, and print its values."
    command = add("compute", "values.compute", text)
    text = "such as 'mean(a - b, axis=0)'; write '(-a)' if it begins with a minus"
    command.add_argument("expression", metavar="EXPRESSION", help=text)
    command.add_argument(
        "--operand", metavar="NAME=PATH", action="append", default=[], dest="operands",
        type=catalogue.operand, help="a dataset that a name stands for; once for each name",
    )  # fmt: skip
    command.add_argument("--output", metavar="FILE.npy", type=Path, help="save the values there")
    text = "say what would be computed of which versions, and what it takes"
    command.add_argument("--dry", action="store_true", help=text)


def _add_special_roots(add: Add) -> None:
    command = add("upload", "transfers.upload", "Put a file into a special root.")
    command.add_argument("localpath", metavar="LOCAL")
    command.add_argument("path", metavar=PATH, help="such as @public/x.b2nd, or @shared/dir/")
    text = "make a directory of a .zip or .tar.gz"
    command.add_argument("--unpack", action="store_true", help=text)
    text = "Append to an array in a special root, along its first axis."
    command = add("append", "transfers.append", text)
    command.add_argument("path", metavar=PATH)
    command.add_argument("localpath", metavar="LOCAL", help="a .b2nd or .npy file")
    text = "Copy a file, a directory or a root into a special root."
    command = add("copy", catalogue.copy, text, "cp")
    command.add_argument("src", metavar="SOURCE", help="in any root")
    command.add_argument("dst", metavar="TARGET", help=_DESTINATION)
    text = "Move a file or directory within or between special roots."
    command = add("move", catalogue.move, text, "mv")
    command.add_argument("src", metavar="SOURCE")
    command.add_argument("dst", metavar="TARGET", help=_DESTINATION)
    text = "Remove a file, or a directory with its content, from a special root."
    add("remove", catalogue.remove, text, "rm").add_argument("path", metavar=PATH)
    text = "List what was removed from special roots, restore it, or remove it for good."
    command = add("trash", catalogue.trash, text)
    command.add_argument("action", choices=("list", "restore", "empty"))
    text = "of what is restored or removed for good, as list shows it; all is removed without it"
    command.add_argument("item", metavar="ID", nargs="?", help=text)
    text = "Store an expression: a dataset that is computed from others when it is read."
    command = add("lazyexpr", catalogue.lazyexpr, text)
    text = "in @personal, or such as @shared/NAME; .b2nd is added"
    command.add_argument("name", metavar="NAME", help=text)
    text = "such as 'a + sin(b)'; write '(-a)' if it begins with a minus"
    command.add_argument("expression", metavar="EXPRESSION", help=text)
    command.add_argument(
        "operands", metavar="NAME=PATH", nargs="*", type=catalogue.operand,
        help="the datasets that its names stand for",
    )  # fmt: skip
    text = "compute it now and store the result"
    command.add_argument("--compute", action="store_true", help=text)


def _add_accounts(add: Add) -> None:
    text = "Show how the subscriber is, and what to do; exit code 1 if something is wrong."
    add("status", status.status, text)
    add("whoami", catalogue.whoami, "Show the user that is logged in.")
    command = add("adduser", users.adduser, f"Add a user. {_TYPED}")
    command.add_argument("user", metavar="EMAIL")
    command.add_argument("--superuser", action="store_true", help="let the user administer users")
    command = add("deluser", users.deluser, "Delete a user and all their data.")
    command.add_argument("user", metavar="EMAIL")
    command.add_argument("-y", "--yes", action="store_true", help="do not ask for confirmation")
    command = add("listusers", users.listusers, "List the users.", "lsu")
    command.add_argument("user", metavar="EMAIL", nargs="?", help="this one only")
    add("passwd", users.passwd, f"Change your own password. {_TYPED}")
    _add_tokens(add)


def _add_tokens(add: Add) -> None:
    text = "Make, list or revoke API tokens, with which programs need no password."
    command = add("token", users.token, text)
    command.add_argument("action", choices=("new", "list", "revoke"))
    text = "of the new token: what it is for; or ID of one to be revoked, as list shows it"
    command.add_argument("name", metavar="NAME", nargs="?", default="", help=text)
    command.add_argument(
        "--root", metavar="PATTERN", action="append", dest="roots",
        help="a root that the new token may see, or a pattern such as 'climate-*' (default: all); "
        "may be given several times",
    )  # fmt: skip
    text = "it may change special roots too"
    command.add_argument("--write", action="store_true", help=text)
    text = "it may make tokens and, of a superuser, administer accounts"
    command.add_argument("--manage", action="store_true", help=text)
    command.add_argument("--days", type=float, metavar="N", help="until it expires")


def _options() -> argparse.ArgumentParser:
    """Make the options that may stand before or after a command; the later one counts."""
    made = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    made.add_argument("--json", action="store_true", help="print JSON")
    made.add_argument(
        "--subscriber", "--url", metavar="URL",
        help="default: CATERVA2_URL, or http://127.0.0.1:8002",
    )  # fmt: skip
    made.add_argument(
        "--username", "--user", metavar="NAME", help="default: CATERVA2_USERNAME, or no login"
    )
    made.add_argument(
        "--password", "--pass", metavar="TEXT",
        help="default: CATERVA2_PASSWORD, or read from the terminal; other users of this machine "
        "can see command lines",
    )  # fmt: skip
    made.add_argument(
        "--timeout", type=_seconds, metavar="SECONDS",
        help=f"time to wait for each byte from the subscriber (default: {TIMEOUT:g})",
    )  # fmt: skip
    made.add_argument(
        "--conf", type=Path, metavar="FILE", help=f"settings (default: {config.FILE}, if there)"
    )
    return made


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value <= 86_400:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 86400")
    return value


def main(argv: list[str] | None = None) -> int:
    """Run a command and return its exit code."""
    with arguments.plain_warnings("cat2cli"):
        return arguments.guarded("cat2cli", lambda: run(argv))


def run(argv: list[str] | None) -> int:
    """Run a command; its errors are raised."""
    options = make_parser().parse_args(argv)
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    settings = config.load(ClientSettings, options.conf)
    if warning := credentials.exposed(options.conf, settings):
        arguments.complain("cat2cli", warning)
    auth, token = credentials.chosen(options, settings), credentials.token(options, settings)
    work = _load(options.work)
    url, limits = options.subscriber or _from_file(settings), load_limits(options.conf).client
    with Client(url, auth, options.timeout, limits=limits, token=token) as client:
        found = None
        try:
            found = work(client, options)
            if found is not None:
                found.print(options.json)
        except BrokenPipeError:  # the reader, such as head(1), has closed the pipe
            abandon()
        except BadSelection as error:
            raise ConfigError(str(error)) from None
        except Unreachable as error:
            from caterva2.cli.commands.offline import advice

            raise Unreachable(f"{error}{advice(client)}") from None
        except (TypeError, ValueError, LookupError, AttributeError) as error:
            if isinstance(error, CatervaError):
                raise
            # An invalid answer, or a fault of this program: one line all the same.
            raise CatervaError(f"{type(error).__name__}: {error}") from error
        client.logout()
    return found.code if found is not None else 0


def _load(work: Work | str) -> Work:
    """Import a command that is only named: numpy and Blosc2 take longer than most others run."""
    if not isinstance(work, str):
        return work
    module, name = work.split(".")
    found: Work = getattr(importlib.import_module(f"caterva2.cli.commands.{module}"), name)
    return found


def _from_file(settings: ClientSettings) -> str | None:
    """Return the subscriber if the settings name one: the environment is over their default."""
    return settings.subscriber if "subscriber" in settings.model_fields_set else None


if __name__ == "__main__":
    sys.exit(main())
