"""Views of other libraries, downloads and files of fsspec read through the client's cache."""

from __future__ import annotations

import asyncio
import pickle
import warnings
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import pytest
import zarr
from zarr.abc.store import OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from zarr.core.buffer import default_buffer_prototype

import caterva2
from caterva2.client.errors import Missing, OfflineWarning, Unreachable
from caterva2.client.http.transport import HttpTransport
from caterva2.integrations.filesystem import Caterva2FileSystem
from tests.client.arrays import GRID, write
from tests.client.line import Line, cached
from tests.conftest import Stack, eventually
from tests.fault.proxy import Proxy
from tests.inprocess import cat2cli
from tests.thoroughness import some

PATH = "foo/grid.b2nd"
ARRAYS = {
    "grid.b2nd": "c/1/2", "ds-1d.b2nd": "c/3", "dir1/ds-2d.b2nd": "c/1/3",
    "dir1/ds-3d.b2nd": "c/1/0/1", "dir2/ds-4d.b2nd": "c/1/0/0/0", "ds-1d-fields.b2nd": "c/9",
    "ds-sc-attr.b2nd": "c", "ds-1d-b.b2nd": "c/0", "zeros.b2nd": "c/0/1", "one.b2nd": "c/1",
    "one-zeros.b2nd": "c/0",
}  # fmt: skip


def _get(array: Any, key: str, part: Any) -> bytes:
    found = asyncio.run(array.store.get(key, default_buffer_prototype(), part))
    return bytes(found.to_bytes())


@pytest.mark.filterwarnings("ignore:The data type")
@pytest.mark.parametrize("name", some([*ARRAYS], 4))
def test_chunks_of_zarr_are_those_of_the_subscriber(line: Line, tmp_path: Path, name: str) -> None:
    plain = caterva2.Client(line.urlbase)["foo"][name]
    dataset = cached(line, tmp_path)["foo"][name]
    assert dataset[...].size
    theirs, key = plain.zarr(), ARRAYS[name]
    line.cut = True
    ours = dataset.zarr()
    assert ours.metadata.to_dict() == theirs.metadata.to_dict()
    size = len(_get(theirs, key, None))
    cuts = (0, 1, 17, size // 2, size - 30, size - 1)
    for part in (
        None, *(RangeByteRequest(at, min(at + 40, size)) for at in cuts if at >= 0),
        *(OffsetByteRequest(at) for at in cuts[:4]), *(SuffixByteRequest(n) for n in (1, 40, size)),
    ):  # fmt: skip
        assert _get(ours, key, part) == _get(theirs, key, part), part
    assert np.array_equal(ours[...], theirs[...])


def test_zarr_asks_once_for_chunks_and_never_again(line: Line, tmp_path: Path) -> None:
    dataset = cached(line, tmp_path)[PATH]
    array = dataset.zarr()
    assert (array[:10, :30] == GRID[:10, :30]).all()
    targets = [one.target for one in line.requests]
    assert sorted(one for one in targets if "chunks/" in one) == [
        "/api/chunks/foo/grid.b2nd?ids=0", "/api/chunks/foo/grid.b2nd?ids=1"
    ]  # fmt: skip
    line.requests.clear()
    assert (array[:10, :30] == GRID[:10, :30]).all()
    assert (dataset.zarr()[3:9, 5:25] == GRID[3:9, 5:25]).all()
    assert (dataset[3:9, 5:25] == GRID[3:9, 5:25]).all()
    assert not line.requests
    line.cut = True
    with pytest.raises(Unreachable, match=r"grid\.b2nd: 1 chunks are not in the cache"):
        array[30:, :5]


def test_groups_of_zarr_that_were_taken_need_no_network(line: Line, tmp_path: Path) -> None:
    online = cached(line, tmp_path)
    online.take("foo/dir1")
    expected = online["foo/dir1/ds-2d.b2nd"][:]
    line.cut = True
    with pytest.warns(OfflineWarning):
        group = cached(line, tmp_path)["foo/dir1"].zarr()
    assert isinstance(group, zarr.Group)
    assert {*group} == {"ds-2d", "ds-3d"}
    assert (group["ds-2d"][:] == expected).all()
    with pytest.raises(Unreachable), warnings.catch_warnings():
        warnings.simplefilter("ignore", OfflineWarning)
        cached(line, tmp_path)["foo"].zarr()


def test_metadata_of_zarr_go_with_the_right_to_read(line: Line, tmp_path: Path) -> None:
    removed, hidden = (cached(line, tmp_path / name)["foo"] for name in ("one", "other"))
    for root, missing in ((removed, "/zarr/foo/"), (hidden, "/")):
        assert "grid" in root.zarr()
        line.missing = missing
        with pytest.raises(Missing):
            root.zarr()
        line.missing = "\0"
    line.cut = True
    with pytest.warns(OfflineWarning):
        assert "grid" in removed.zarr()  # there may only be no arrays any more
    with pytest.raises(Unreachable, match="foo is not in the cache"):
        hidden.zarr()


def test_a_version_that_is_gone_is_read_by_zarr_where_it_is_in_the_cache(
    lab: Stack, line: Line, tmp_path: Path
) -> None:
    file = lab.directory / "source" / "turning.b2nd"
    write(file, GRID)
    client = cached(line, tmp_path)
    eventually(lambda: "turning.b2nd" in client["foo"])
    dataset = client["foo/turning.b2nd"]
    array = dataset.zarr()
    assert (array[:10] == GRID[:10]).all()
    write(file, GRID + 1)
    eventually(lambda: client.get_info(dataset.path)["etag"] != dataset.meta["etag"])
    assert (array[:10] == GRID[:10]).all()
    with pytest.raises(caterva2.StaleVersion, match=r"turning\.b2nd has another version"):
        array[30:]
    file.unlink()


def test_arrays_of_zarr_are_pickled_with_the_cache(
    lab: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = caterva2.Client(lab.url, cache=tmp_path)
    whole = client[PATH][:]
    packed = [pickle.dumps(one) for one in (client[PATH].zarr(), client["foo"].zarr()["grid"])]
    assert max(map(len, packed)) < 8_000
    asked = list[str]()
    exchange = HttpTransport.exchange

    def note(transport: HttpTransport, request: Any) -> Any:
        asked.append(request.path)
        return exchange(transport, request)

    monkeypatch.setattr(HttpTransport, "exchange", note)
    for one in packed:
        assert (pickle.loads(one)[:] == whole).all()
    assert not [path for path in asked if "/c/" in path or "chunks" in path]


def test_downloads_come_from_the_cache(line: Line, tmp_path: Path) -> None:
    client = cached(line, tmp_path / "cache")
    seen: list[tuple[int, int | None]] = []
    for name in ("grid.b2nd", "ds-hello.b2frame", "README.md"):
        target = tmp_path / name
        client.download(f"foo/{name}", target, lambda *one: seen.append(one))
        assert seen[-1] == (target.stat().st_size,) * 2
        assert not [one for one in line.targets if "/api/download/" in one]
        line.requests.clear()
        client.download(f"foo/{name}", target)
        assert [one.split("/")[2] for one in line.targets] == ["info"]
    assert (blosc2.open(tmp_path / "grid.b2nd")[:] == GRID).all()
    plain = caterva2.Client(line.urlbase)["foo/README.md"][:]
    line.cut = True
    client = cached(line, tmp_path / "cache")
    with pytest.warns(OfflineWarning), (tmp_path / "open").open("wb") as file:
        client.download("foo/README.md", file)
    assert (tmp_path / "open").read_bytes() == plain == (tmp_path / "README.md").read_bytes()
    with pytest.raises(Unreachable):
        client.download("foo/many.b2nd", tmp_path / "many.b2nd")


def test_what_describes_an_array_is_in_its_file(line: Line, tmp_path: Path) -> None:
    client, path = cached(line, tmp_path / "cache"), "foo/ds-sc-attr.b2nd"
    attrs = dict(client[path].attrs)
    assert attrs
    assert client[path][()] is not None  # its chunk is in the cache
    fs = Caterva2FileSystem(line.urlbase, skip_instance_cache=True)
    fs.client = client
    client.download(path, tmp_path / "one.b2nd")
    with (tmp_path / "two.b2nd").open("wb") as file:
        client.download(path, file)
    client.take(path, to=tmp_path / "home")
    with fs.open(path) as file:
        (tmp_path / "three.b2nd").write_bytes(file.read())
    (tmp_path / "four.b2nd").write_bytes(fs.cat_file(path))
    for made in (*tmp_path.glob("*.b2nd"), tmp_path / "home" / path):
        array = blosc2.open(made)
        assert dict(array.schunk.vlmeta[:]) == attrs, made


def test_large_files_of_which_much_is_missing_are_requested_as_they_are(
    line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = cached(line, tmp_path / "cache")
    monkeypatch.setattr("caterva2.depot.whole.MOST", 1000)
    client.download(PATH, tmp_path / "grid.b2nd")
    assert [one for one in line.targets if "/api/download/" in one]
    assert (client[PATH][:] == GRID).all()
    line.cut = True
    with pytest.warns(OfflineWarning):
        client.download(PATH, tmp_path / "grid.b2nd")
    assert (blosc2.open(tmp_path / "grid.b2nd")[:] == GRID).all()


def test_damaged_replicas_are_not_downloaded(line: Line, tmp_path: Path) -> None:
    dataset = cached(line, tmp_path / "cache")[PATH]
    assert (dataset[:] == GRID).all()
    [file] = (tmp_path / "cache").glob("*/replicas/*/*/*.b2nd")
    data, chunk = bytearray(file.read_bytes()), dataset.get_chunk(7)
    data[data.index(chunk) + len(chunk) // 2] ^= 1
    file.write_bytes(data)
    line.requests.clear()
    cached(line, tmp_path / "cache").download(PATH, tmp_path / "grid.b2nd")
    assert [one for one in line.targets if "chunks/" in one] == [
        "GET /api/chunks/foo/grid.b2nd?ids=7"
    ]
    assert (blosc2.open(tmp_path / "grid.b2nd")[:] == GRID).all()


def test_frames_of_a_file_system_come_from_the_cache(line: Line, tmp_path: Path) -> None:
    def made() -> Caterva2FileSystem:
        system = Caterva2FileSystem(line.urlbase, skip_instance_cache=True)
        system.client = cached(line, tmp_path / "cache")
        return system

    fs = made()
    with fs.open(PATH, block_size=1000) as file:
        content = file.read()
        file.seek(-50, 2)
        assert file.read() == content[-50:]
    assert (blosc2.ndarray_from_cframe(content)[:] == GRID).all()
    assert not [one for one in line.targets if "/api/download/" in one]
    assert [one for one in line.targets if "chunks/" in one] == [
        "GET /api/chunks/foo/grid.b2nd?ids=0:12"
    ]
    line.cut = True
    fs = made()
    with pytest.warns(OfflineWarning):
        assert fs.cat_file(PATH) == content
    assert fs.cat_file(PATH, start=-20) == content[-20:]
    assert fs.cat_ranges([PATH] * 2, [0, 9], [4, 30]) == [content[:4], content[9:30]]
    assert fs.info(PATH)["size"] == len(content)
    fs.get(PATH, str(tmp_path / "got.b2nd"))
    assert (tmp_path / "got.b2nd").read_bytes() == content
    with pytest.raises(OSError, match="is cut"):
        fs.open("foo/many.b2nd")


def test_commands_show_what_was_taken_without_network(lab: Stack, tmp_path: Path) -> None:
    env = {"XDG_CACHE_HOME": str(tmp_path), "CATERVA2_CACHE": "1"}
    with Proxy(int(lab.url.rpartition(":")[2])) as proxy:
        where = "--subscriber", f"http://127.0.0.1:{proxy.port}"
        assert cat2cli(*where, "take", "--yes", "foo/dir1", **env).returncode == 0
    for command, said in (
        (("list", "foo/dir1"), "foo/dir1/ds-3d.b2nd"), (("info", "foo/dir1/ds-2d.b2nd"), "uint16"),
        (("show", "foo/dir1/ds-2d.b2nd[2:4, 5]"), "[45 65]"),
    ):  # fmt: skip
        done = cat2cli(*where, *command, **env)
        assert said in done.stdout, done.stderr
        [line] = done.stderr.splitlines()
        assert line.startswith("cat2cli: ") and "what is in the cache is shown" in line
    done = cat2cli(*where, "show", "foo/dir1/ds-2d.b2nd", XDG_CACHE_HOME=str(tmp_path))
    assert done.returncode
    assert "is shown with CATERVA2_CACHE=1" in done.stderr
