"""GDAL and zarrita.js while arrays change, go or are hidden: errors, and never fill values"""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import HASTY, Stack, eventually
from tests.web.asking import ask
from tests.web.test_zarr_versions import CELLS, versions, write
from tests.web.zarrprograms import GdalArray, zarrita

Read = Callable[[Any], Any]
FIRST, LAST = np.s_[0:20, 0:50], np.s_[380:400, 250:300]


def by_gdal(stack: Stack, place: str) -> Read:
    return GdalArray(stack, place).__getitem__


def by_zarrita(stack: Stack, place: str) -> Read:
    url = f"{stack.url}/zarr/{place}"

    def read(region: Any) -> Any:
        return np.frombuffer(zarrita(stack).read(url, region), np.float64)

    return read


def fails(read: Read, region: Any) -> bool:
    """Read a region; return whether that fails. What is read must never be made up."""
    try:
        values = read(region)
    except Exception:  # noqa: BLE001 - those of several programs
        return True
    assert values.size == 1000
    assert versions(values) <= {1, 2}
    return False


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.timeout(600)  # node's packages are installed
@pytest.mark.parametrize("open_array", [by_gdal, by_zarrita])
def test_programs_read_no_fill_values(
    stack: Stack, tmp_path: Path, open_array: Callable[[Stack, str], Read]
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    write(root, 1)
    content = (root / "a.b2nd").read_bytes()
    for name in "bc":
        (root / f"{name}.b2nd").write_bytes(content)
    settings = stack.directory / "caterva2.toml"
    stack.secret = "keeps sessions"
    settings.write_text(HASTY + '[subscriber]\nread = "public"\n')
    client = stack.start(foo=root)
    eventually(lambda: len(client.get_list("foo")) == 3)
    a, b, c = (open_array(stack, f"foo/{name}") for name in "abc")
    for read in (a, b, c):
        expected = (np.arange(np.prod(CELLS)).reshape(CELLS) * 10.0 + 1)[FIRST]
        np.testing.assert_array_equal(read(FIRST).ravel(), expected.ravel())

    etag = client.get_info("foo/a.b2nd")["etag"]
    write(root, 2)  # replaced
    eventually(lambda: client.get_info("foo/a.b2nd")["etag"] != etag)
    fails(a, LAST)
    assert not fails(open_array(stack, "foo/a"), np.s_[200:220, 0:50])

    (root / "b.b2nd").unlink()  # removed
    eventually(lambda: len(client.get_list("foo")) == 2)
    assert fails(b, LAST)
    assert fails(b, np.s_[200:220, 0:50])

    def readable_by(whom: str, status: int) -> None:
        settings.write_text(f'{HASTY}[subscriber]\nread = "{whom}"\n')
        stack.children["sub"].process.send_signal(signal.SIGHUP)
        eventually(lambda: ask(stack, "zarr2/foo/c/.zarray").status == status)

    readable_by("users", 404)
    assert fails(c, np.s_[200:220, 0:50])
    readable_by("public", 200)
    assert not fails(c, np.s_[100:120, 0:50])

    stack.kill("pub-foo")
    eventually(lambda: ask(stack, "zarr2/foo/c/19.5").status == 503, 60)
    assert fails(c, LAST)
    assert not fails(c, FIRST)
