"""``cat2keys``: the keys of services, and the lists of those that are admitted."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from caterva2.cli import arguments
from caterva2.cli.parsers import cat2keys as make_parser
from caterva2.errors import CatervaError, ConfigError, NotFound
from caterva2.names import RootName
from caterva2.signing import keys as signing
from caterva2.wire.auth import allow_list, keys, list_file
from caterva2.wire.auth.allow_list import AllowList
from caterva2.wire.auth.policy import KEY
from caterva2.wire.sockets import Address

OLD = "key.old"
"""What ``new --replace`` leaves of the key of before."""


def new(options: argparse.Namespace) -> int:
    """Make the key pair of a state directory, and print its public key."""
    for directory in options.directory:
        if options.signing:
            print(directory, _new_signing(directory, options))
            continue
        path = directory / keys.FILE
        before = keys.read(path)
        if before is not None and not options.replace:
            raise ConfigError(f"{path} is there already: --replace makes another one")
        if before is not None:
            keys.write(directory / OLD, before)  # a copy: at no moment there is no key
        directory.mkdir(parents=True, exist_ok=True)
        made = keys.make()
        keys.write(path, made)
        print(directory, made.public)
    return 0


def _new_signing(directory: Path, options: argparse.Namespace) -> str:
    """Make the signing key of a publisher; the one of before says that the new one is its."""
    path = directory / signing.FILE
    before = signing.read(path)
    if before is not None and not options.replace:
        raise ConfigError(f"{path} is there already: --replace makes another one")
    directory.mkdir(parents=True, exist_ok=True)
    made = before.successor(_root_of(directory, before, options.root)) if before else signing.make()
    signing.write(path, made)
    return made.public


def _root_of(directory: Path, key: signing.SigningKey, given: str) -> RootName:
    """Return the root of which a signing key says what takes its place: it can't say so later."""
    from caterva2.publisher import lease

    # A key that came from another publisher names the root of that one.
    served = lease.root_of(directory / lease.LEASE_FILE)
    root = RootName(given) if given else served or key.root
    if root is None:
        raise ConfigError(f"no publisher has used {directory} yet: say by --root what it publishes")
    if served not in (None, root):
        raise ConfigError(f"the publisher of {directory} has root {served}, not {root}")
    return root


def show(options: argparse.Namespace) -> int:
    """Print the public keys of state directories."""
    for directory in options.directory:
        print(directory, (_signing if options.signing else _pair)(directory).public)
    return 0


def allow(options: argparse.Namespace) -> int:
    """Add a key to a list."""
    key = options.key if KEY.fullmatch(options.key) else _pair(Path(options.key)).public
    line = f"{options.name} {key} {options.role} {','.join(options.roots)}"
    list_file.change(_list(options.list), lambda text: allow_list.with_line(text, line))
    return 0


def revoke(options: argparse.Namespace) -> int:
    """Remove a name or key from a list; services end its connections."""
    removed = 0

    def edit(text: str) -> str:
        nonlocal removed
        after, removed = allow_list.without(text, options.who)
        if not removed:
            raise NotFound(f"{options.who} is neither a name nor a key of {_list(options.list)}")
        return after

    list_file.change(_list(options.list), edit)
    print(f"revoked {removed} key{'s' * (removed != 1)} of {options.who}")
    return 0


def show_list(options: argparse.Namespace) -> int:
    """Print who is admitted."""
    found = _read(_list(options.list))
    for key, grant in sorted(found.grants.items(), key=lambda item: item[1].name):
        role = next(name for name, role in allow_list.ROLES.items() if role == grant.role)
        print(grant.name, key, role, ",".join(grant.roots))
    return _complain(_list(options.list), found)


def check(options: argparse.Namespace) -> int:
    """Check key and list of state directories; return the exit code."""
    failed = 0
    for directory in options.directory:
        for look in (_check_key, _check_list):
            try:
                failed |= look(directory)
            except CatervaError as error:
                arguments.complain("cat2keys", str(error))
                failed = 1
    return failed


def invite(options: argparse.Namespace) -> int:
    """Print what another site needs to reach a broker: no part of it is a secret."""
    broker = Address.parse(options.broker)
    if broker.is_wildcard:
        raise ConfigError(f"{broker} is every address of this machine: name one that others reach")
    print(f'broker = "{broker}"\nbroker_key = "{_pair(options.directory).public}"')
    return 0


def _list(where: Path) -> Path:
    """Return the list that is meant: a file, or that of a state directory."""
    return where / list_file.FILE if where.is_dir() else where


def _pair(directory: Path) -> keys.Keypair:
    pair = keys.read(directory / keys.FILE)
    if pair is None:
        raise NotFound(f"{directory} has no key: cat2keys new {directory}")
    return pair


def _signing(directory: Path) -> signing.SigningKey:
    key = signing.read(directory / signing.FILE)
    if key is None:
        raise NotFound(f"{directory} has no signing key: cat2keys new --signing {directory}")
    return key


def _read(path: Path) -> AllowList:
    text = list_file.read(path)
    if text is None:
        raise NotFound(f"{path} does not exist")
    return AllowList.parse(text)


def _complain(path: Path, found: AllowList) -> int:
    for problem in found.problems:
        arguments.complain("cat2keys", f"{path}: {problem}")
    return 1 if found.problems else 0


def _check_key(directory: Path) -> int:
    print(f"{directory / keys.FILE}: {_pair(directory).public}")
    path = directory / signing.FILE
    key = signing.read(path)
    if key is not None:
        signing.check(key, path)
        print(f"{path}: {key.public}")
    return 0


def _check_list(directory: Path) -> int:
    path = _list(directory)
    if list_file.read(path) is None:
        print(f"{path}: none")
        return 0
    found = _read(path)
    print(f"{path}: {len(found.grants)} keys")
    return _complain(path, found)


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "new": new, "show": show, "allow": allow, "revoke": revoke, "list": show_list,
    "check": check, "invite": invite,
}  # fmt: skip


def run(argv: list[str] | None) -> int:
    """Run the command and return its exit code."""
    options = make_parser().parse_args(argv)
    return COMMANDS[options.command](options)


def main(argv: list[str] | None = None) -> int:
    """Run the command; an error becomes one line on standard error."""
    return arguments.guarded("cat2keys", lambda: run(argv))


if __name__ == "__main__":
    sys.exit(main())
