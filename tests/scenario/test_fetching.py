"""Each chunk crosses the link once, whoever asks for it and however often."""

from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import blosc2
import numpy as np
import pytest

import caterva2
from tests.conftest import Stack

CHUNKS = 64


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A root with one array of 64 chunks of 128 KiB."""
    source = tmp_path / "data"
    source.mkdir()
    values = np.arange(CHUNKS * 16_384, dtype="f8").reshape(CHUNKS, 16_384)
    blosc2.asarray(
        values, chunks=(1, 16_384), blocks=(1, 2_048), urlpath=str(source / "a.b2nd"),
        cparams={"codec": blosc2.Codec.LZ4, "clevel": 1},
    )  # fmt: skip
    return source


def served_chunks(lab: Stack, root: str) -> int:
    """What the publisher says that it served, at its end."""
    lab.stop(f"pub-{root}")
    match = re.search(r"served \d+ requests, (\d+) chunks", lab.log(f"pub-{root}"))
    assert match
    return int(match[1])


def test_cold_array_equals_the_original_and_each_chunk_crosses_once(lab: Stack, data: Path) -> None:
    client = lab.publish("cold", data)
    before = lab.metric("fetched_chunks_total")
    expected = blosc2.open(str(data / "a.b2nd"))[()]
    np.testing.assert_array_equal(client.fetch("cold/a.b2nd"), expected)
    assert lab.metric("fetched_chunks_total") - before == CHUNKS
    for key in ((), np.s_[3:9, 5], np.s_[::-7, ::1000]):
        np.testing.assert_array_equal(client.fetch("cold/a.b2nd", key), expected[key])
    assert served_chunks(lab, "cold") == CHUNKS


def test_slice_fetches_only_the_chunks_that_it_touches(lab: Stack, data: Path) -> None:
    client = lab.publish("touched", data)
    before = lab.metric("fetched_chunks_total")
    assert client.fetch("touched/a.b2nd", np.s_[10:12, :5]).shape == (2, 5)
    assert lab.metric("fetched_chunks_total") - before == 2
    assert client.fetch("touched/a.b2nd", np.s_[11:13, :5]).shape == (2, 5)
    assert lab.metric("fetched_chunks_total") - before == 3


def test_sixteen_clients_that_read_at_once_cause_one_fetch(lab: Stack, data: Path) -> None:
    lab.publish("sixteen", data)
    expected = blosc2.open(str(data / "a.b2nd"))[()]
    together = threading.Barrier(16)

    def read(_: int) -> bool:
        client = caterva2.Client(lab.url)
        together.wait(30)
        return bool((client.fetch("sixteen/a.b2nd") == expected).all())

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(read, range(16)))
    assert served_chunks(lab, "sixteen") == CHUNKS


def test_cache_outlives_the_subscriber(lab: Stack, data: Path) -> None:
    client = lab.publish("outlived", data)
    expected = client.fetch("outlived/a.b2nd", np.s_[:20])
    lab.stop("sub")
    lab.start_subscriber()
    lab.subscribe("outlived")
    np.testing.assert_array_equal(lab.client.fetch("outlived/a.b2nd", np.s_[:20]), expected)
    assert lab.metric("fetched_chunks_total") == 0


def test_plain_file_of_many_pieces_crosses_once(lab: Stack, tmp_path: Path) -> None:
    source = tmp_path / "data"
    source.mkdir()
    content = np.random.default_rng(1).bytes(5_500_001)
    (source / "blob.bin").write_bytes(content)
    (source / "empty.txt").write_bytes(b"")
    client = lab.publish("pieces", source)
    before = lab.metric("fetched_bytes_total")
    assert (
        client.fetch("pieces/blob.bin", slice(1_048_570, 1_048_590)) == content[1_048_570:1_048_590]
    )
    assert client.fetch("pieces/blob.bin") == content
    assert client.fetch("pieces/empty.txt") == b""
    assert client.download("pieces/blob.bin", tmp_path / "copy").read_bytes() == content
    assert client.download("pieces/empty.txt", tmp_path / "none").read_bytes() == b""
    assert lab.metric("fetched_bytes_total") - before == len(content)
