"""Special roots from Python and from the command line."""

from __future__ import annotations

import asyncio
import io
import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import blosc2
import numpy as np
import pytest

import caterva2
from tests.conftest import Stack, eventually, example_root
from tests.web.places import NAMES, WORD, Places


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    stack = Stack(tmp_path_factory.mktemp("places"))
    stack.secret = "keeps sessions"
    made = Places(stack)
    try:
        made.add_users("ann", "bob")
        stack.start_broker()
        stack.start_publisher("foo", example_root())
        stack.start_subscriber()
        eventually(lambda: "foo" in stack.client.get_roots())
        yield made
    finally:
        stack.stop_all()


@pytest.fixture
def client(places: Places) -> Iterator[caterva2.Client]:
    with places.client("ann") as made:
        yield made


# --- Python ---


def test_a_file_is_uploaded_and_read(client: caterva2.Client, tmp_path: Path) -> None:
    values = np.arange(600.0).reshape(20, 30)
    blosc2.asarray(values, chunks=(7, 30), urlpath=str(tmp_path / "a.b2nd"))
    told: list[tuple[int, int | None]] = []
    stored = client.upload(
        tmp_path / "a.b2nd", "@public/py/", lambda done, of: told.append((done, of))
    )
    assert stored == PurePosixPath("@public/py/a.b2nd")
    size = (tmp_path / "a.b2nd").stat().st_size
    assert told[-1] == (size, size)
    dataset = client.get(stored)
    assert (dataset[3:15, ::-2] == values[3:15, ::-2]).all()
    assert (dataset[[0, 19], 5] == values[[0, 19], 5]).all()
    assert (
        client.download(stored, tmp_path / "b.b2nd").read_bytes()
        == (tmp_path / "a.b2nd").read_bytes()
    )


def test_bytes_and_open_files_are_uploaded(client: caterva2.Client, tmp_path: Path) -> None:
    client.upload(b"hello", "@personal/py/x.txt")
    assert client.get("@personal/py/x.txt")[:] == b"hello"
    client.upload(io.BytesIO(b"more" * 1_000_000), "@personal/py/y.txt")
    assert len(client.get("@personal/py/y.txt")) == 4_000_000
    (tmp_path / 'Übung "1".txt').write_bytes(b"")
    with (tmp_path / 'Übung "1".txt').open("rb") as file, pytest.raises(caterva2.HttpError):
        client.upload(file, "@personal/py/none.b2nd")
    stored = client.upload(tmp_path / 'Übung "1".txt', "@personal/py/")
    assert stored.name in ('Übung "1".txt', "Übung %221%22.txt")


def test_an_archive_is_unpacked(client: caterva2.Client, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "some.zip", "w") as archive:
        archive.write(example_root() / "ds-1d.b2nd", "d/ds-1d.b2nd")
    assert client.upload(tmp_path / "some.zip", "@public/py/", unpack=True) == PurePosixPath(
        "@public/py/some"
    )
    assert client.get_list("@public/py/some") == ["d/ds-1d.b2nd"]


def test_a_root_takes_files(client: caterva2.Client) -> None:
    root = client.get("@shared")
    dataset = root.upload(example_root() / "ds-1d.b2nd")
    assert dataset.path == PurePosixPath("@shared/ds-1d.b2nd")
    assert "ds-1d.b2nd" in root
    assert root.upload(example_root() / "README.md", "py/r.md").name == "py/r.md"


@pytest.mark.parametrize("how", ["array", "list", "NDArray", ".NPY", ".b2nd"])
def test_a_dataset_grows(client: caterva2.Client, tmp_path: Path, how: str) -> None:
    path = f"@shared/py/grow-{how}.b2nd"
    client.upload(example_root() / "ds-1d.b2nd", path)
    more = np.arange(1000, 1005)
    np.save(tmp_path / "more.npy", more)
    (tmp_path / "more.npy").rename(tmp_path / "more.NPY")
    blosc2.asarray(more, urlpath=str(tmp_path / "more.b2nd"))
    data = {
        "array": more, "list": more.tolist(), "NDArray": blosc2.asarray(more),
        ".NPY": tmp_path / "more.NPY", ".b2nd": str(tmp_path / "more.b2nd"),
    }[how]  # fmt: skip
    dataset = client.get(path)
    assert dataset.append(data) == (1005,)
    assert dataset.shape == (1005,)
    assert (dataset[:] == np.arange(1005)).all()
    with pytest.raises(caterva2.HttpError, match=r"Bad Request.*dtypes"):
        client.append(path, more.astype("f4"))


def test_files_are_moved_copied_and_removed(client: caterva2.Client) -> None:
    copied = client.copy("foo/dir2", "@personal/py/dir2")
    assert client.get_list(copied) == ["ds-4d.b2nd"]
    dataset = client.get(copied / "ds-4d.b2nd")
    assert dataset.copy("@personal/py/one.b2nd") == PurePosixPath("@personal/py/one.b2nd")
    assert dataset.move("@public/py/two.b2nd") == PurePosixPath("@public/py/two.b2nd")
    assert (
        client.get("@public/py/two.b2nd")[1, 2, 3] == client.get("foo/dir2/ds-4d.b2nd")[1, 2, 3]
    ).all()
    with pytest.raises(caterva2.Missing):
        client.get(copied / "ds-4d.b2nd")
    assert client.get("@public/py/two.b2nd").remove() == PurePosixPath("@public/py/two.b2nd")
    with pytest.raises(caterva2.Missing):
        client.remove("@public/py/two.b2nd")
    with pytest.raises(caterva2.HttpError, match="Bad Request"):
        client.remove("foo/README.md")


def test_writing_needs_login(places: Places, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(30_000_000))
    client = places.stack.client
    for work in (
        lambda: client.upload(tmp_path / "large", "@public/large"),
        lambda: client.append("@public/x.b2nd", [1]),
        lambda: client.remove("@public"),
        lambda: client.move("@public/a", "@public/b"),
    ):
        with pytest.raises(caterva2.HttpError, match="Unauthorized"):
            work()
    assert "@public" in client.get_roots()


def test_the_asynchronous_client_writes_too(places: Places) -> None:
    async def all_of_it() -> None:
        async with caterva2.AsyncClient(places.stack.url, (NAMES["bob"], WORD)) as client:
            stored = await client.upload(example_root() / "ds-1d.b2nd", "@personal/a.b2nd")
            dataset = await client.get(stored)
            assert await dataset.append(np.arange(3)) == (1003,)
            assert await dataset.copy("@personal/b.b2nd") == PurePosixPath("@personal/b.b2nd")
            assert await client.move("@personal/b.b2nd", "@personal/c.b2nd")
            assert await dataset.remove() == stored
            root = await client.get("@personal")
            await root.upload(example_root() / "README.md")
            assert await root.file_list() == ["README.md", "c.b2nd"]
            assert await client.append("@personal/c.b2nd", [5]) == (1004,)
            await client.copy("@personal/c.b2nd", "@personal/d/")
            await client.remove("@personal")
            assert await root.file_list() == []

    asyncio.run(all_of_it())


# --- the command line ---


@pytest.fixture
def cli(places: Places, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    monkeypatch.setenv("CATERVA2_USERNAME", NAMES["ann"])
    monkeypatch.setenv("CATERVA2_PASSWORD", WORD)
    yield places.stack


def test_the_commands_that_change_something(cli: Stack, tmp_path: Path) -> None:
    example = str(example_root() / "ds-1d.b2nd")
    np.save(tmp_path / "more.npy", np.arange(2))

    def said(*arguments: str) -> str:
        done = cli.cli(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout.rstrip("\n")

    assert said("upload", example, "@public/cli/x.b2nd") == "Dataset stored in @public/cli/x.b2nd"
    grown = said("append", "@public/cli/x.b2nd", str(tmp_path / "more.npy"))
    assert grown == "@public/cli/x.b2nd now has the shape (1002,)"
    assert said("cp", "@public/cli/x.b2nd", "@public/cli/y.b2nd").endswith("to @public/cli/y.b2nd")
    assert said("mv", "@public/cli/y.b2nd", "@shared/cli/").endswith("to @shared/cli/y.b2nd")
    assert said("list", "@public/cli") == "@public/cli/x.b2nd"
    assert json.loads(said("rm", "@shared/cli", "--json")) == "@shared/cli"
    assert said("show", "@public/cli/x.b2nd[-3:]") == "[999   0   1]"
    made = tmp_path / "some.zip"
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("a.txt", "a")
    assert said("upload", str(made), "@public/cli/z", "--unpack").endswith("@public/cli/z")


def test_what_can_not_be_done_is_one_line(cli: Stack, tmp_path: Path) -> None:
    for arguments in (
        ("upload", str(tmp_path / "none"), "@public/x"),
        ("upload", str(tmp_path), "@public/x"),
        ("rm", "@public/none"),
        ("mv", "@public/none", "@public/y"),
        ("append", "@public/none.b2nd", str(example_root() / "ds-1d.b2nd")),
        ("append", "@public/none.b2nd", str(example_root() / "README.md")),
    ):
        done = cli.cli(*arguments)
        assert done.returncode in (1, 2)
        assert len(done.stderr.splitlines()) == 1


def test_a_command_without_login_is_refused(places: Places) -> None:
    assert "CATERVA2_USERNAME" not in os.environ
    done = places.stack.cli("rm", "@public/x")
    assert (done.returncode, "Unauthorized" in done.stderr) == (1, True)


def test_what_was_removed_is_restored(places: Places, client: caterva2.Client) -> None:
    client.empty_trash()
    paths = [client.upload(io.BytesIO(b"abc"), f"@personal/{name}.txt") for name in "xyz"]
    for path in paths:
        client.remove(path)
    items = client.trash()
    assert [item["path"] for item in items] == [str(path) for path in reversed(paths)]
    assert client.restore(items[2]["id"]) == paths[0]
    assert client.fetch(paths[0]) == b"abc"
    with pytest.raises(caterva2.Missing):
        client.restore(items[2]["id"])
    login = {"CATERVA2_USERNAME": NAMES["ann"], "CATERVA2_PASSWORD": WORD}
    listed = places.stack.cli("trash", "list", **login).stdout.splitlines()
    assert [line.split()[:2] for line in listed] == [
        [item["id"], f"{item['path']}:"] for item in items[:2]
    ]
    restored = places.stack.cli("trash", "restore", items[1]["id"], **login)
    assert restored.stdout == f"{paths[1]}\n"
    assert places.stack.cli("trash", "restore", **login).returncode == 2
    emptied = places.stack.cli("trash", "empty", items[0]["id"], **login)
    assert emptied.stdout == "3 bytes were removed for good\n"

    async def work() -> None:
        async with caterva2.AsyncClient(places.stack.url, auth=(NAMES["ann"], WORD)) as other:
            await other.remove(paths[0])
            (item,) = await other.trash()
            assert await other.restore(item["id"]) == paths[0]
            await other.remove(paths[0])
            assert (await other.empty_trash(), await other.trash()) == (3, [])

    asyncio.run(work())
