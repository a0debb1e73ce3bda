"""A full disk, a quota and damaged bytes: the right answer or a clear error, never a wrong one."""

from __future__ import annotations

import resource
from pathlib import Path

import blosc2
import numpy as np
import pytest

import caterva2
from tests.conftest import Stack, eventually, run
from tests.web.places import Places

ROWS = 40
MB = 1_000_000


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two arrays of 40 chunks of 200 kB that do not compress."""
    source = tmp_path / "data"
    source.mkdir()
    for seed, name in enumerate("ab"):
        values = np.random.default_rng(seed).random((ROWS, 25_000))
        path = str(source / f"{name}.b2nd")
        blosc2.asarray(values, chunks=(1, 25_000), cparams={"clevel": 0}, urlpath=path)
    return source


def original(data: Path, name: str) -> np.ndarray:
    return np.asarray(blosc2.open(str(data / f"{name}.b2nd"))[()])


def cache_size(stack: Stack) -> int:
    files = (stack.directory / "sub" / "cache").rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file())


def start_with(stack: Stack, data: Path, *given: str, file_limit: int = 0) -> caterva2.Client:
    """All services; the subscriber may write files up to some bytes only."""
    stack.start_broker()
    stack.start_publisher("data", data, name="pub-data")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    if file_limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, before[1]))
    try:
        stack.start_subscriber(given=given)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    stack.subscribe("data")
    return stack.client


def test_full_disk_passes_chunks_through_and_the_cache_opens_and_is_right(
    stack: Stack, data: Path
) -> None:
    client = start_with(stack, data, file_limit=3 * MB)
    expected = original(data, "a")
    for n in range(ROWS):
        np.testing.assert_array_equal(client.fetch("data/a.b2nd", n), expected[n])
    np.testing.assert_array_equal(client.fetch("data/a.b2nd"), expected)
    np.testing.assert_array_equal(client.fetch("data/b.b2nd"), original(data, "b"))
    assert "is not cached: " in stack.log("sub")
    stack.stop("sub")
    stack.start_subscriber()
    stack.subscribe("data")
    np.testing.assert_array_equal(stack.client.fetch("data/a.b2nd"), original(data, "a"))
    assert 0 < stack.metric("fetched_chunks_total") < ROWS


def test_quota_is_kept_by_evicting_what_was_not_read_for_longest(stack: Stack, data: Path) -> None:
    client = start_with(stack, data, "--quota", "10MB")
    for name in "ab":
        np.testing.assert_array_equal(client.fetch(f"data/{name}.b2nd"), original(data, name))
        assert cache_size(stack) <= 10 * MB
    fetched = stack.metric("fetched_chunks_total")
    client.fetch("data/b.b2nd")
    assert stack.metric("fetched_chunks_total") == fetched
    np.testing.assert_array_equal(client.fetch("data/a.b2nd"), original(data, "a"))
    assert stack.metric("fetched_chunks_total") == fetched + ROWS
    running_download_survives_its_eviction(stack, data)
    special_roots_leave_the_rest_to_the_cache(stack, data)


def running_download_survives_its_eviction(stack: Stack, data: Path) -> None:
    expected = stack.get("api/download/data/a.b2nd")
    with stack.open("api/download/data/a.b2nd") as response:
        got = response.read(1000)
        for _ in range(3):
            found = stack.client.fetch("data/b.b2nd")
            np.testing.assert_array_equal(found, original(data, "b"))
        got += response.read()
    assert got == expected


def special_roots_leave_the_rest_to_the_cache(stack: Stack, data: Path) -> None:
    client = stack.client
    client.fetch("data/a.b2nd")
    assert cache_size(stack) > 6 * MB
    (stack.directory / "sub/spaces/public/large").write_bytes(bytes(6 * MB))
    eventually(lambda: "large" in client.get_list("@public"))
    eventually(lambda: cache_size(stack) <= 4 * MB)
    np.testing.assert_array_equal(client.fetch("data/a.b2nd"), original(data, "a"))
    assert cache_size(stack) <= 4 * MB


def test_quota_counts_what_an_earlier_run_cached_and_a_larger_dataset_is_still_read(
    stack: Stack, data: Path
) -> None:
    client = start_with(stack, data)
    client.fetch("data/a.b2nd")
    stack.stop("sub")
    stack.start_subscriber(given=("--quota", "2MB"))
    found = eventually(lambda: [stack.client.fetch("data/b.b2nd")])  # the broker is reached
    np.testing.assert_array_equal(found[0], original(data, "b"))
    assert cache_size(stack) <= 2 * MB


def damaged_cache(stack: Stack, *places: int) -> Path:
    """Read everything, end, and turn bytes of the cached file around."""
    stack.client.fetch("data/a.b2nd")
    eventually(lambda: list((stack.directory / "sub").rglob("*.b2nd")))
    stack.stop("sub")
    [file] = (stack.directory / "sub" / "cache").rglob("*.b2nd")
    content = bytearray(file.read_bytes())
    for at in places:
        content[at] ^= 0x40
    file.write_bytes(content)
    return file


def test_damaged_chunks_are_fetched_anew_or_found_by_a_check_that_a_repair_mends(
    stack: Stack, data: Path
) -> None:
    start_with(stack, data)
    damaged_cache(stack, 1_000, 100_000, 5_000_000)
    stack.start_subscriber()
    stack.subscribe("data")
    np.testing.assert_array_equal(stack.client.fetch("data/a.b2nd"), original(data, "a"))
    assert stack.metric("fetched_chunks_total") == 2
    file = damaged_cache(stack, 2_050_000, 2_150_000, 6_100_000)
    (file.parent / "orphan.part").write_bytes(b"x")
    statedir = str(stack.directory / "sub")
    looked = run("cat2sub", "--statedir", statedir, "--check")
    assert looked.returncode == 1
    assert "fault: cache: data/a.b2nd: 2 chunks are damaged" in looked.stdout
    assert "orphan.part: belongs to nothing" in looked.stdout
    first = run("cat2sub", "--statedir", statedir, "--repair")
    assert first.returncode == 1
    assert f"1 datasets (0 complete), {ROWS - 2} chunks" in first.stdout
    assert "damaged, will be fetched again: data/a.b2nd: 2 chunks" in first.stdout
    assert "removed: " in first.stdout
    second = run("cat2sub", "--statedir", statedir, "--repair")
    assert second.returncode == 0
    stack.start_subscriber()
    eventually(lambda: stack.client.fetch("data/a.b2nd") is not None)  # the publisher is known
    np.testing.assert_array_equal(stack.client.fetch("data/a.b2nd"), original(data, "a"))
    done = run("cat2sub", "--statedir", statedir, "--repair")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "in use by another process" in done.stderr


def test_what_does_not_fit_on_the_disk_is_not_uploaded(stack: Stack, data: Path) -> None:
    stack.secret = "keeps sessions"
    users = Places(stack)
    users.add_users("ann")
    start_with(stack, data, file_limit=3 * MB)
    answer = users.send("ann", "api/upload/@public/large", bytes(5 * MB))
    assert (answer.status, answer.json["name"]) == (507, "cache-full")
    assert "large does not fit on the disk" in answer.json["detail"]
    assert users.transfer("ann", "copy", "data/a.b2nd", "@public/").status == 507
    assert users.names("ann", "@public") == []
    assert list((stack.directory / "sub/spaces/incoming").iterdir()) == []
    assert users.send("ann", "api/upload/@public/small", bytes(2 * MB)).status == 200
