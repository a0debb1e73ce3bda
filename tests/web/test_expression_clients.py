"""Computed datasets from Python, python-blosc2 and the command line."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import pytest

import caterva2
from caterva2.errors import BadRequest
from tests.unit.samples import array_frame
from tests.web.expressions import DS, ONE, SHEET, TWO, make
from tests.web.places import NAMES, WORD, Places


def test_python_makes_and_reads_one(places: Places) -> None:
    with places.client("ann") as client:
        sheet = client.get("foo/dir1/ds-2d.b2nd")
        path = client.lazyexpr("py", "a * 2 + mean(a)", {"a": sheet})
        found = client.get(path)
        assert isinstance(found, caterva2.Dataset)
        assert (found.expression, str(found.operands["a"])) == (
            "a * 2 + mean(a)", "foo/dir1/ds-2d.b2nd",
        )  # fmt: skip
        expected = TWO * np.uint16(2) + TWO.mean()
        np.testing.assert_array_equal(found[:], expected)
        np.testing.assert_array_equal(found[[1, 5], ::3], expected[[1, 5], ::3])
        np.testing.assert_array_equal(found.slice(slice(2, 4))[()], expected[2:4])
        assert "computed when it is read" in repr(found.info)
        assert "a * 2 + mean(a)" in repr(found.info)
        with pytest.raises(caterva2.HttpError, match="Bad Request"):
            client.lazyexpr("bad", "a.__class__", {"a": sheet})


def test_asyncio_makes_one(places: Places) -> None:
    async def work() -> Any:
        login = NAMES["ann"], WORD
        async with caterva2.AsyncClient(places.stack.url, login) as client:
            sheet = await client.get("foo/dir1/ds-2d.b2nd")
            found = await client.get(await client.lazyexpr("async", "a + 1", {"a": sheet}))
            return await found[3, 4]

    assert asyncio.run(work()) == TWO[3, 4] + 1


def test_python_takes_blosc2s_lazy_expressions(places: Places) -> None:
    remote = blosc2.C2Array("foo/ds-1d.b2nd", urlbase=places.stack.url)
    with places.client("ann") as client:
        path = client.lazyexpr("theirs", (remote + 1) * 2)
        np.testing.assert_array_equal(client.get(path)[:10], (ONE[:10] + 1) * 2)


def test_python_refuses_a_value_that_is_not_an_expression(places: Places) -> None:
    wrong: Any = 3
    with places.client("ann") as client, pytest.raises(BadRequest, match="int, not text"):
        client.lazyexpr("wrong", wrong, DS)


def test_large_result_is_streamed_and_downloaded(places: Places, tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(1500, 2000))
    with places.client("ann") as client:
        file = io.BytesIO(array_frame(values, chunks=(100, 2000), blocks=(10, 2000)))
        client.upload(file, "@personal/big.b2nd")
        path = client.lazyexpr("bigger", "b - mean(b) + b[0]", {"b": "@personal/big.b2nd"})
        expected = values - values.mean() + values[0]
        np.testing.assert_allclose(client.get(path)[:], expected)
        local = client.download(path, tmp_path / "bigger.b2nd")
        np.testing.assert_allclose(blosc2.open(str(local))[:], expected)


def test_python_blosc2_opens_and_slices_one(places: Places) -> None:
    path = make(places, "@public/c2", "a * 2.5", SHEET)
    found = blosc2.C2Array(path, urlbase=places.stack.url)
    assert (found.shape, found.chunks, found.blocks) == ((10, 20), (5, 5), (2, 3))
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found[()], TWO * 2.5)
    np.testing.assert_array_equal(found[2:5, 7], (TWO * 2.5)[2:5, 7])
    np.testing.assert_array_equal(found[[1, 3]], (TWO * 2.5)[[1, 3]])
    assert len(blosc2.decompress2(found.get_chunk(0))) == 6 * 6 * 8
    assert (found + 1)[3, 4] == (TWO * 2.5)[3, 4] + 1


def test_command_line_makes_one(places: Places) -> None:
    stack, login = places.stack, ("--username", NAMES["ann"], "--password", WORD)
    done = stack.cli("lazyexpr", "cli", "ds[:3] + 1", "ds=foo/ds-1d.b2nd", *login)
    assert (done.returncode, done.stdout) == (0, "Expression stored in @personal/cli.b2nd\n")
    assert stack.cli("show", "@personal/cli.b2nd", *login).stdout == "[1 2 3]\n"
    assert "ds[:3] + 1" in stack.cli("info", "@personal/cli.b2nd", *login).stdout
    done = stack.cli("lazyexpr", "cli", "ds.x", "ds=foo/ds-1d.b2nd", *login)
    assert done.returncode == 1
    assert "attributes are not allowed" in done.stderr
    assert stack.cli("lazyexpr", "cli", "ds", "ds", *login).returncode == 2
    done = stack.cli("lazyexpr", "cli", "(-ds)[:3]", "ds=foo/ds-1d.b2nd", *login)
    assert (done.returncode, done.stderr) == (0, "")
    done = stack.cli(
        "lazyexpr", "@public/cli", "ds + 1", "ds=foo/ds-1d.b2nd", "--compute", "--json", *login
    )
    assert done.stdout == '"@public/cli.b2nd"\n'
