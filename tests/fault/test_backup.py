"""A backup while users write: nothing that was acknowledged before is missing, nothing is torn."""

from __future__ import annotations

import functools
import hashlib
import random
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import caterva2
from caterva2.accounts.identity import Email
from caterva2.accounts.store import AccountStore
from tests.conftest import Stack, eventually, run
from tests.web.places import WORD


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    stack = Stack(tmp_path)
    stack.secret = "keeps sessions"
    try:
        yield stack
    finally:
        stack.stop_all()


class Writer(threading.Thread):
    """A user who uploads, moves, removes and restores files, each of which names its digest."""

    def __init__(self, stack: Stack, number: int) -> None:
        super().__init__(daemon=True)
        self.email = f"user{number}@example.com"
        self.client = caterva2.Client(stack.url, auth=(self.email, WORD))
        self.acknowledged: list[str] = []
        self.failure: caterva2.CatervaError | None = None
        self.ends = threading.Event()
        self._random = random.Random(number)
        self._places: list[str] = []

    def run(self) -> None:
        try:
            while not self.ends.is_set():
                self._upload()
                self._move()
                if len(self.acknowledged) % 3 == 0:
                    self.client.remove(self._places.pop(0))  # it is in the trash then
        except caterva2.CatervaError as failure:
            self.failure = failure

    def has_more_than(self, count: int) -> bool:
        if self.failure is not None:
            raise self.failure
        return len(self.acknowledged) > count

    def _upload(self) -> None:
        content = self._random.randbytes(self._random.randrange(1, 30_000))
        name = hashlib.blake2b(content, digest_size=16).hexdigest()
        place = f"@{self._random.choice(['public', 'shared', 'personal'])}/{self.email}/{name}.bin"
        self.client.upload(content, place)
        self.acknowledged.append(name)
        self._places.append(place)

    def _move(self) -> None:
        n = self._random.randrange(len(self._places))
        name = self._places[n].rpartition("/")[2]
        root = self._random.choice(["public", "shared", "personal"])
        place = f"@{root}/{self.email}/{len(self.acknowledged)}/{name}"
        self.client.move(self._places[n], place)
        self._places[n] = place


def files(state: Path) -> dict[str, list[bytes]]:
    """What is in the special roots and the trash, by the digest in each file's name."""
    found: dict[str, list[bytes]] = {}
    for root in ("public", "shared", "personal", "trash"):
        for path in (state / "spaces" / root).rglob("*.bin"):
            found.setdefault(path.stem, []).append(path.read_bytes())
    return found


def check_whole(state: Path, before: list[str]) -> None:
    found = files(state)
    for name, contents in found.items():
        assert len(contents) == 1, "a file that is moved is in one place"
        assert hashlib.blake2b(contents[0], digest_size=16).hexdigest() == name
    assert not set(before) - found.keys()


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("users", "backups"), [(2, 1), pytest.param(30, 2, marks=pytest.mark.slow)]
)
def test_a_backup_while_users_write_has_all_that_was_there(
    stack: Stack, users: int, backups: int
) -> None:
    for number in range(users):
        stack.add_user(f"user{number}@example.com", WORD)
    stack.start_subscriber(given=("--broker", ""))
    sub = stack.directory / "sub"
    writers = [Writer(stack, number) for number in range(users)]
    for writer in writers:
        writer.start()
    statedir = "--statedir", str(sub)
    for n in range(backups):
        for writer in writers:
            more = functools.partial(writer.has_more_than, len(writer.acknowledged) + 1)
            eventually(more, 120)
        before = [name for writer in writers for name in list(writer.acknowledged)]
        done = run(
            "cat2sub", *statedir, "--backup", str(stack.directory / f"backup{n}"), timeout=240
        )
        assert done.returncode == 0, done.stderr
        print(f"{len(before)} files acknowledged before: {done.stdout}")
        check_whole(stack.directory / f"backup{n}/state", before)
    for writer in writers:
        writer.ends.set()
    for writer in writers:
        writer.join(60)
        assert writer.failure is None, writer.failure
    listed = {writer.email: lists(writer.client) for writer in writers}
    left = deleted(sub, writers[-1])
    stack.stop("sub")
    run("cat2sub", *statedir, "--backup", str(stack.directory / "last"), timeout=240)
    check_restored(stack, listed, writers[-1], left)


def lists(client: caterva2.Client) -> list[list[str]]:
    return [client.get_list(root) for root in ("@public", "@shared", "@personal")]


def deleted(sub: Path, writer: Writer) -> str:
    """Delete an account as a subscriber does that is killed before it removed the files."""
    with closing(AccountStore(sub / "accounts.sqlite")) as store:
        return store.delete(Email(writer.email)).ident


def check_restored(
    stack: Stack, listed: dict[str, list[list[str]]], last: Writer, left: str
) -> None:
    """Put the last backup back elsewhere, and look at it as users do."""
    again = stack.directory / "again"
    done = run("cat2sub", "--statedir", str(again), "--restore", str(stack.directory / "last"))
    assert done.returncode == 0, done.stderr
    assert (again / "spaces/personal" / left).exists()
    checked = run("cat2sub", "--statedir", str(again), "--check")
    assert (checked.returncode, checked.stdout.count("note: ")) == (0, 1), checked.stdout
    stack.start_subscriber("again", ("--broker", ""))
    assert not (again / "spaces/personal" / left).exists()
    for email in listed.keys() - {last.email}:
        assert lists(caterva2.Client(stack.url, auth=(email, WORD))) == listed[email]
