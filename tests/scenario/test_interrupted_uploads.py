"""Uploads from Python and from the command line that are interrupted, and go on"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import caterva2
from caterva2.errors import BadUpload
from caterva2.limits import DEFAULTS
from tests.web.asking import ask
from tests.web.places import NAMES, WORD, Places, places_that_restart, start_without_broker

SIZE = 3 * 2**20
LIMITS = replace(DEFAULTS.client, resumed=2**20, patience=10.0)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    """A subscriber with a quota of 8 MiB, at an address that it keeps."""
    with places_that_restart(tmp_path_factory.mktemp("interrupted"), "8MiB") as made:
        yield made


@pytest.fixture
def client(places: Places) -> Iterator[caterva2.Client]:
    with caterva2.Client(places.stack.url, auth=(NAMES["ann"], WORD), limits=LIMITS) as made:
        yield made
        made.remove("@personal")
        for one in places.get("ann", "api/uploads").json["items"]:
            ask(places.stack, f"api/uploads/{one['id']}", "DELETE", **places.cookie("ann"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "large.bin"
    made.write_bytes(np.random.default_rng(7).bytes(SIZE))
    return made


class Progress:
    """Notes how far an upload is, and does something when it comes to the middle."""

    def __init__(self, middle: object = None) -> None:
        self.seen: list[int] = []
        self._middle = middle

    def __call__(self, done: int, _of: int | None) -> None:
        self.seen.append(done)
        if done >= 2 * 2**20 and callable(self._middle):
            middle, self._middle = self._middle, None
            middle()


def interrupt() -> None:
    raise KeyboardInterrupt


def test_a_file_goes_on_in_another_process(client: caterva2.Client, file: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        client.upload(file, "@personal/", Progress(interrupt))
    again = Progress()
    assert str(client.upload(file, "@personal/", again)) == "@personal/large.bin"
    assert len(again.seen) <= 2  # pieces of 1 MiB: the first one was there
    assert client.get("@personal/large.bin")[:] == file.read_bytes()


def test_a_file_goes_on_while_the_subscriber_starts_again(
    places: Places, client: caterva2.Client, file: Path
) -> None:
    stack = places.stack
    address = stack.url.removeprefix("http://")

    def restart() -> None:
        stack.kill("sub")
        start_without_broker(stack, address)

    progress = Progress(restart)
    client.upload(file, "@personal/x.bin", progress)
    assert progress.seen[-1] == SIZE
    assert len(progress.seen) <= 5  # not from its beginning
    assert client.get("@personal/x.bin")[:] == file.read_bytes()


def test_another_file_does_not_go_on_with_the_first(client: caterva2.Client, file: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        client.upload(file, "@personal/", Progress(interrupt))
    file.write_bytes(bytes(1) + file.read_bytes()[1:])
    again = Progress()
    client.upload(file, "@personal/", again)
    assert len(again.seen) == 3
    assert client.get("@personal/large.bin")[:] == file.read_bytes()


def test_a_file_that_changes_under_way_is_refused(client: caterva2.Client, file: Path) -> None:
    def change() -> None:
        file.write_bytes(bytes(SIZE))
        raise ConnectionResetError

    with pytest.raises(BadUpload, match="changed while it was sent"):
        client.upload(file, "@personal/changed.bin", Progress(change))
    assert client.get_list("@personal") == []


def test_a_full_quota_says_so_and_the_upload_goes_on_later(
    client: caterva2.Client, file: Path
) -> None:
    client.upload(bytes(4 * 2**20), "@personal/other.bin")
    with pytest.raises(caterva2.HttpError, match="quota"):
        client.upload(bytes(6 * 2**20), "@personal/never.bin")
    with pytest.raises(caterva2.HttpError, match="quota"):
        client.upload(file, "@personal/", Progress(lambda: fill(client)))
    client.remove("@personal/other.bin")
    again = Progress()
    client.upload(file, "@personal/", again)
    assert len(again.seen) <= 2
    assert client.get("@personal/large.bin")[:] == file.read_bytes()


def fill(client: caterva2.Client) -> None:
    with caterva2.Client(client.urlbase, auth=(NAMES["ann"], WORD)) as other:
        other.upload(bytes(2**20 + 2**19), "@personal/filling.bin")


def test_the_session_may_end_under_way(places: Places, client: caterva2.Client, file: Path) -> None:
    def end() -> None:
        assert places.post("ann", "api/password/", {"password": WORD, "new_password": WORD})
        places.cookies.clear()
        raise ConnectionResetError

    progress = Progress(end)
    client.upload(file, "@personal/x.bin", progress)
    assert len(progress.seen) <= 4
    assert client.get("@personal/x.bin")[:] == file.read_bytes()


def test_the_command_goes_on_too(
    places: Places, client: caterva2.Client, file: Path, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        client.upload(file, "@personal/", Progress(interrupt))
    begun = places.get("ann", "api/uploads").json["items"]
    assert len(begun) == 1
    (tmp_path / "caterva2.toml").write_text("[limits.client]\nresumed = 1000\n")
    user = {"CATERVA2_USERNAME": NAMES["ann"], "CATERVA2_PASSWORD": WORD}
    said = places.stack.cli("upload", str(file), "@personal/", cwd=tmp_path, **user)
    assert said.stdout == "Dataset stored in @personal/large.bin\n", said.stderr
    assert places.get("ann", f"api/uploads/{begun[0]['id']}").json["complete"]
    assert client.get("@personal/large.bin")[:] == file.read_bytes()
