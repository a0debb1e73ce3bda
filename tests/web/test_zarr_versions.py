"""Arrays of Zarr that change, go or are hidden while they are read: never fill values"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import pytest
import zarr

from tests.conftest import Stack, eventually
from tests.web import zarrclients
from tests.web.asking import ask

pytestmark = pytest.mark.filterwarnings("ignore")
CELLS = (400, 300)


def write(directory: Path, number: int) -> None:
    """Store an array whose values tell their version; none of them is the fill value."""
    values = np.arange(np.prod(CELLS)).reshape(CELLS) * 10.0 + number
    new = directory.parent / f"new-{number}.b2nd"
    blosc2.asarray(values, chunks=(100, 100), blocks=(20, 50), urlpath=str(new))
    new.rename(directory / "a.b2nd")


def versions(values: Any) -> set[int]:
    return set((values % 10).astype(int).ravel().tolist())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    directory = tmp_path / "root"
    directory.mkdir()
    write(directory, 1)
    return directory


def opened(stack: Stack, place: str) -> Any:
    return zarr.open_array(zarrclients.obstored(stack, place), mode="r", zarr_format=3)


def fails(array: Any, part: Any) -> bool:
    """Read a part; return whether that fails. What is read must never be made up."""
    try:
        values = array[part]
    except Exception:  # noqa: BLE001 - those of several libraries
        return True
    assert versions(values) <= {1, 2}
    return False


def test_a_replaced_array_is_read_in_one_of_its_versions(stack: Stack, root: Path) -> None:
    client = stack.start(foo=root)
    etag = client.get_info("foo/a.b2nd")["etag"]
    free, pinned = opened(stack, "foo/a"), opened(stack, f"foo@{etag}/a")
    generation = zarrclients.document(stack, "zarr/foo/zarr.json")["attributes"]["caterva2"]["etag"]
    assert versions(free[:50]) == versions(pinned[:50]) == {1}
    write(root, 2)
    eventually(lambda: client.get_info("foo/a.b2nd")["etag"] != etag)
    assert versions(free[...]) == {2}
    eventually(lambda: ask(stack, f"zarr/foo@{etag}/a/c/3/2").status == 410)
    assert fails(pinned, np.s_[350:, 250:])
    assert ask(stack, f"zarr/foo@{generation}/zarr.json").status == 410
    assert ask(stack, f"zarr/foo@{generation}/a/c/0/0").status == 410


def test_a_generation_goes_on_with_what_did_not_change(stack: Stack, root: Path) -> None:
    (root / "b.b2nd").write_bytes((root / "a.b2nd").read_bytes())
    client = stack.start(foo=root)
    place = zarrclients.document(stack, "zarr/foo/zarr.json")["attributes"]["caterva2"]["pinned"]
    etag = client.get_info("foo/a.b2nd")["etag"]
    write(root, 2)
    eventually(lambda: client.get_info("foo/a.b2nd")["etag"] != etag)
    assert versions(opened(stack, f"{place}/b")[...]) == {1}
    assert ask(stack, f"zarr/{place}/a/zarr.json").status == 410
    assert ask(stack, f"zarr/{place}/a/c/0/0").status == 410


def test_arrays_of_special_roots_are_read(stack: Stack, root: Path) -> None:
    stack.secret = "keeps sessions"
    stack.start(foo=root)
    (stack.directory / "sub" / "spaces" / "public").mkdir(parents=True, exist_ok=True)
    (stack.directory / "sub" / "spaces" / "public" / "x.b2nd").write_bytes(
        (root / "a.b2nd").read_bytes()
    )
    eventually(lambda: stack.client.get_list("@public") == ["x.b2nd"])
    place = zarrclients.document(stack, "zarr/@public/zarr.json")["attributes"]["caterva2"][
        "pinned"
    ]
    for name in ("@public/x", f"{place}/x"):
        array = opened(stack, name)
        assert versions(array[...]) == versions(array[3:5, 3:5]) == {1}
