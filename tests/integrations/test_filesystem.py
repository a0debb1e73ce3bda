"""Roots as a file system of fsspec: ``cat2://HOST:PORT/ROOT/PATH``."""

from __future__ import annotations

import errno
import json
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import blosc2
import fsspec
import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet
import pytest

import caterva2
from caterva2.integrations import ranges
from caterva2.integrations.addresses import Address
from caterva2.integrations.filesystem import Caterva2FileSystem
from tests.conftest import Stack, eventually, example_root
from tests.scenario.accounts import ANN, WORD

TEXT = b"a,b\n1,2\n3,4\n"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("source")
    shutil.copytree(example_root(), made, dirs_exist_ok=True)
    (made / "t" / "deep").mkdir(parents=True)
    (made / "t/a.csv").write_bytes(TEXT)
    (made / "t/deep/b?#%20.bin").write_bytes(bytes(range(256)) * 8)
    table = pa.table({"k": np.arange(400_000), "v": np.random.default_rng(1).random(400_000)})
    pa.parquet.write_table(table, made / "t/c.parquet", row_group_size=50_000)
    with h5py.File(made / "t/d.h5", "w") as file:
        file["x"] = np.arange(10)
    return made


@pytest.fixture(scope="module")
def served(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("stack"))
    stack.secret = "keeps sessions"
    stack.configure('[subscriber]\nmetrics_for = "public"\n')
    try:
        stack.add_user(ANN, WORD)
        stack.start(foo=source)
        yield stack
    finally:
        stack.stop_all()


@pytest.fixture
def fs(served: Stack) -> Caterva2FileSystem:
    return Caterva2FileSystem(served.url, auth=(ANN, WORD), skip_instance_cache=True)


def url(stack: Stack, path: str) -> str:
    return stack.url.replace("http://", "cat2://") + f"/{path}"


def test_directories_are_listed_with_sizes_and_times(fs: Any, served: Stack, source: Path) -> None:
    found = {one["name"]: one for one in fs.ls("foo/t")}
    assert list(found) == ["foo/t/a.csv", "foo/t/c.parquet", "foo/t/d.h5", "foo/t/deep"]
    file = found["foo/t/a.csv"]
    assert (file["type"], file["size"]) == ("file", len(TEXT))
    assert abs(file["mtime"] - (source / "t/a.csv").stat().st_mtime) < 1e-3
    assert (found["foo/t/deep"]["type"], found["foo/t/deep"]["size"]) == ("directory", 2048)
    assert fs.info("foo/t/a.csv") | {"tag": ""} == file | {"tag": ""}
    assert {"foo", "@public"} <= set(fs.ls("", detail=False))
    assert fs.ls("foo/t/d.h5", detail=False) == ["foo/t/d.h5"]  # a file for file systems
    assert fs.du("foo/t/deep") == 2048
    assert fs.modified("foo/t/a.csv").timestamp() == file["mtime"]
    assert fs.ukey("foo/t/a.csv") == file["etag"] == fs.info("foo/t/a.csv")["etag"]


def test_paths_are_walked_and_found(fs: Any, served: Stack) -> None:
    assert fs.glob("foo/*/ds-?d.b2nd") == [
        "foo/dir1/ds-2d.b2nd", "foo/dir1/ds-3d.b2nd", "foo/dir2/ds-4d.b2nd"
    ]  # fmt: skip
    assert fs.find("foo/t")[-1] == "foo/t/deep/b?#%20.bin"
    assert [top for top, _, _ in fs.walk("foo")][:2] == ["foo", "foo/dir1"]
    assert fs.isdir("foo/t") and fs.isfile("foo/t/a.csv") and fs.isfile("foo/t/d.h5")
    assert not fs.exists("foo/nothing") and not fs.isdir("nothing") and not fs.isfile("foo/x")
    with pytest.raises(FileNotFoundError):
        fs.info("foo/nothing")


@pytest.mark.parametrize("start", [None, 0, 5, -5, 2000, 5000])
@pytest.mark.parametrize("end", [None, 7, -2, 2049])
def test_parts_are_those_of_the_bytes(fs: Any, start: int | None, end: int | None) -> None:
    whole = bytes(range(256)) * 8
    assert fs.cat_file("foo/t/deep/b?#%20.bin", start, end) == whole[start:end]


def test_many_ranges_are_few_requests(fs: Any, served: Stack) -> None:
    whole, count = bytes(range(256)) * 8, "caterva2_request_seconds_count"
    path = "foo/t/deep/b?#%20.bin"
    starts = [*range(0, 1500, 20), 2040, 9000, 3]
    fs.ls("")

    def asked() -> float:
        lines = served.get("metrics").decode().splitlines()
        return sum(float(x.split()[-1]) for x in lines if x.startswith(count) and "download" in x)

    before = asked()
    found = fs.cat_ranges([path] * len(starts), starts, [at + 15 for at in starts])
    assert found == [whole[at : at + 15] for at in starts]
    assert asked() - before == 2  # of 64 ranges at most
    both = fs.cat_ranges([path, "foo/t/a.csv", "foo/x"], 0, 3)
    assert both[:2] == [whole[:3], TEXT[:3]]
    assert isinstance(both[2], FileNotFoundError)


def test_open_file_is_one_version(fs: Any, source: Path) -> None:
    (source / "t/growing.txt").write_bytes(b"one" * 1000)
    file = eventually(lambda: fs.exists("foo/t/growing.txt")) and fs.open(
        "foo/t/growing.txt", block_size=100, cache_type="none"
    )
    assert file.read(6) == b"oneone"
    (source / "t/growing.txt").write_bytes(b"two" * 2000)
    with pytest.raises(OSError, match=r"has changed since it was opened") as failure:
        while True:  # until the change arrives, or the test's time is over
            file.seek(0)
            assert file.read(6) == b"oneone"
    assert failure.value.errno == errno.ESTALE


def test_stored_frames_are_opened_as_files(fs: Any, served: Stack, tmp_path: Path) -> None:
    path = "foo/dir1/ds-2d.b2nd"
    with fs.open(path) as file:
        content = file.read()
    assert content == fs.cat_file(path) == served.get(f"api/download/{path}")
    assert fs.info(path)["size"] == len(content)
    assert fs.info(path)["shape"] == (10, 20)
    fs.get(path, str(tmp_path / "new/x.b2nd"))
    np.testing.assert_array_equal(
        blosc2.open(tmp_path / "new/x.b2nd")[()], np.arange(200).reshape(10, 20)
    )
    remote = blosc2.open(url(served, path), lazy=True)
    np.testing.assert_array_equal(remote[2:4, 5], [45, 65])


def test_libraries_read_through_it(served: Stack, tmp_path: Path) -> None:
    frame = pd.read_csv(url(served, "foo/t/a.csv"))
    assert frame.to_numpy().tolist() == [[1, 2], [3, 4]]
    with fsspec.open(f"simplecache::{url(served, 'foo/t/a.csv')}") as file:
        assert file.read() == TEXT
    with fsspec.open(url(served, "foo/t/d.h5")) as file, h5py.File(file) as data:
        assert data["x"][3] == 3


def test_parquet_is_read_by_columns_and_row_groups(
    served: Stack, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    received, read = list[int](), ranges.read

    def counted(*given: Any) -> list[bytes]:
        found = read(*given)
        received.append(sum(map(len, found)))
        return found

    monkeypatch.setattr(ranges, "read", counted)
    fs, path = fsspec.url_to_fs(url(served, "foo/t/c.parquet"))
    data = pyarrow.dataset.dataset(path, filesystem=fs)
    table = data.to_table(columns=["k"], filter=pyarrow.dataset.field("k") > 399_990)
    assert table["k"].to_pylist() == list(range(399_991, 400_000))
    assert 0 < sum(received) < (source / "t/c.parquet").stat().st_size / 3
    assert len(pd.read_parquet(url(served, "foo/t/c.parquet"), columns=["v"])) == 400_000


def test_pickled_file_system_has_no_password(
    fs: Any, served: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = pickle.dumps(fs)
    shown = (packed, fs.to_json().encode(), repr(fs).encode(), json.dumps(fs.to_dict()).encode())
    assert not any(WORD.encode() in text for text in shown)
    other = pickle.loads(packed)
    with pytest.raises(PermissionError, match=f"no password for {ANN}"):
        other.ls("foo")
    for name, value in (("URL", served.url), ("USERNAME", ANN), ("PASSWORD", WORD)):
        monkeypatch.setenv(f"CATERVA2_{name}", value)
    assert other.ls("foo/t", detail=False) == fs.ls("foo/t", detail=False)
    # With the environment a URL needs no host.
    with fsspec.open("cat2:///foo/t/a.csv") as file:
        assert file.read() == TEXT


def test_special_roots_are_written(fs: Any) -> None:
    fs.pipe("@public/d/a.txt", b"hello")
    with fs.open("@public/d/b.txt", "wb") as file:
        file.write(b"by")
    fs.cp("@public/d/a.txt", "@public/e/c.txt")
    fs.mv("@public/d/b.txt", "@public/e/b.txt")
    assert fs.find("@public") == ["@public/d/a.txt", "@public/e/b.txt", "@public/e/c.txt"]
    assert fs.cat("@public/e/c.txt") == b"hello"
    with pytest.raises(RuntimeError), fs.open("@public/d/never.txt", "wb") as file:
        file.write(b"half")
        raise RuntimeError
    assert not fs.exists("@public/d/never.txt")
    with pytest.raises(FileExistsError):
        fs.open("@public/e/c.txt", "xb")
    fs.rm("@public/d", recursive=True)
    fs.rm("@public/e", recursive=True)
    assert fs.find("@public") == []


@pytest.mark.parametrize(
    ("work", "error"),
    [
        (lambda fs: fs.open("foo/t/a.csv", "ab"), NotImplementedError),
        (lambda fs: fs.pipe("foo/t/new.txt", b"x"), OSError),
        (lambda fs: fs.rm("foo/t/a.csv"), OSError),
        (lambda fs: fs.open("foo/t"), IsADirectoryError),
        (lambda fs: fs.mkdir("newroot"), NotImplementedError),
        (lambda fs: fs.created("foo/t/a.csv"), NotImplementedError),
        (lambda fs: fs.sign("foo/t/a.csv"), NotImplementedError),
        (lambda fs: fs.ls("foo/../etc"), OSError),
        (lambda fs: fs.cat_ranges(["foo/t/a.csv"], [0, 1], [2]), ValueError),
    ],
)
def test_what_is_not_possible_says_so(fs: Any, work: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"\w+ \w+"):
        work(fs)


@pytest.mark.parametrize(
    ("text", "urlbase", "path"),
    [
        ("cat2://host:80/foo/a b?c#d%20", "http://host:80", "foo/a b?c#d%20"),
        ("cat2s://[::1]:1/foo/", "https://[::1]:1", "foo"),
        ("cat2://host", "http://host", ""),
        ("cat2:///foo/x", "unix:/run/sub", "foo/x"),
    ],
)
def test_addresses(text: str, urlbase: str, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CATERVA2_URL", "unix:/run/sub")
    assert Address.parse(text) == Address(urlbase, path)


@pytest.mark.parametrize(
    "text",
    [
        "cat2://a:b@host/x",
        "cat2://host:x/y",
        "cat2://ho st/x",
        "cat2://host:99999/x",
        "http://h/x",
        "x",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(caterva2.BadName):
        Address.parse(text)
