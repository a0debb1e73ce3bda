"""An HDF5 file as a root, through all services: what h5py reads is what a client gets."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import pytest

import caterva2
from caterva2.examples import hdf5root
from tests import hdf5files
from tests.conftest import Stack, eventually, run
from tests.scenario import rewritten
from tests.thoroughness import some


def put(path: Path, **datasets: Any) -> None:
    """Write a file beside its place, then move it there."""
    new = path.with_suffix(".new")
    with h5py.File(new, "w") as file:
        for name, values in datasets.items():
            file.create_dataset(name, data=values, chunks=(100,), compression="gzip")
    os.replace(new, path)


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A file with a dataset of every kind, another with attributes, and a third that changes."""
    directory = tmp_path_factory.mktemp("hdf5")
    files = {name: directory / f"{name}.h5" for name in ("kinds", "example", "changing")}
    hdf5files.write(files["kinds"])
    hdf5root.make(files["example"])
    put(files["changing"], first=np.zeros(100))
    stack = Stack(directory)
    try:
        stack.start(**files)
        yield stack
    finally:
        stack.stop_all()


@pytest.fixture(scope="module")
def kinds(services: Stack) -> tuple[caterva2.Client, dict[str, Any]]:
    """A client, and the values of the file with every kind."""
    return services.client, hdf5files.read(services.directory / "kinds.h5")


@pytest.fixture
def changing(services: Stack) -> Path:
    """The file that may be changed; its root has its name."""
    return services.directory / "changing.h5"


def publish(stack: Stack, path: Path, **datasets: Any) -> caterva2.Client:
    """Replace the file, and wait until that is seen."""
    put(path, **datasets)
    names = [f"{name}.b2nd" for name in datasets]
    eventually(lambda: stack.client.get_list("changing") == names)
    return stack.client


def test_every_dataset_comes_through(kinds: tuple[caterva2.Client, dict[str, Any]]) -> None:
    client, written = kinds
    assert set(client.get_list("kinds")) == {f"{name}.b2nd" for name in written}
    for name, expected in some(list(written.items()), 6):  # all of them in tests/unit
        for _ in ("cold", "warm"):
            np.testing.assert_array_equal(client.fetch(f"kinds/{name}.b2nd"), expected, name)


def test_slices_come_through(kinds: tuple[caterva2.Client, dict[str, Any]]) -> None:
    client, written = kinds
    for name in ("group/filter-gzip", "group/filter-blosc2", "group/contiguous", "soft"):
        array = client.get(f"kinds/{name}.b2nd")
        for key in (np.s_[3], np.s_[5:25:3, ::-1], np.s_[..., 2], np.s_[[0, 29], 1, 2:5]):
            np.testing.assert_array_equal(array[key], written[name][key])


def test_attributes_come_through(kinds: tuple[caterva2.Client, dict[str, Any]]) -> None:
    client, _ = kinds
    vlmeta = client.get("example/attrs.b2nd").vlmeta
    assert vlmeta["Int"] == vlmeta["IntT"] == 42
    assert vlmeta["Str"] == "bar"
    assert vlmeta["Arr"] == [[0, 1], [2, 3]]
    assert vlmeta["NilInt"] is None


def test_a_dataset_with_many_attributes_is_read(
    kinds: tuple[caterva2.Client, dict[str, Any]],
) -> None:
    client, written = kinds
    dataset = client.get("kinds/masked/plain.b2nd")
    np.testing.assert_array_equal(dataset[()], written["masked/plain"])
    assert dataset.vlmeta == {f"attribute {n}": n for n in range(hdf5files.MANY_ATTRIBUTES)}


def test_download_is_an_array_that_blosc2_opens(
    kinds: tuple[caterva2.Client, dict[str, Any]], tmp_path: Path
) -> None:
    import blosc2

    client, written = kinds
    for name in ("group/filter-blosc2", "group/filter-lzf", "group/scalar"):
        saved = client.download(f"kinds/{name}.b2nd", tmp_path / name.replace("/", "-"))
        np.testing.assert_array_equal(blosc2.open(str(saved))[()], written[name])


def test_replaced_file_is_seen(services: Stack, changing: Path) -> None:
    client = publish(services, changing, replaced=np.arange(1000))
    assert client.fetch("changing/replaced.b2nd", 5) == 5
    put(changing, b=np.ones(700), replaced=np.arange(1000) * 2)
    eventually(lambda: client.fetch("changing/replaced.b2nd", 5) == 10)
    eventually(lambda: client.get_list("changing") == ["b.b2nd", "replaced.b2nd"])
    publish(services, changing, b=np.zeros(700))


def test_dataset_written_in_place_is_seen(services: Stack, changing: Path) -> None:
    client = publish(services, changing, inplace=np.zeros(1000))
    assert not client.fetch("changing/inplace.b2nd").any()
    with h5py.File(changing, "a") as file:
        file["inplace"][:] = 5
    eventually(lambda: (client.fetch("changing/inplace.b2nd") == 5).all())


def test_reads_of_a_file_that_is_rewritten_all_the_time_are_never_mixed(
    services: Stack, changing: Path
) -> None:
    client = publish(services, changing, a=np.zeros(4_000, "i8"))
    seen = rewritten.values_seen(client, changing, "changing/a.b2nd")
    assert len(seen) >= 5


def test_slow_conversion_does_not_stall_the_publisher(services: Stack, changing: Path) -> None:
    noise = np.random.default_rng(0).normal(size=800_000).round(3)
    new = changing.with_suffix(".new")
    with h5py.File(new, "w") as file:
        file.create_dataset("quick", data=np.arange(10), chunks=(5,), **hdf5plugin.Blosc2())
        gzip = {"compression": "gzip", "compression_opts": 1}
        file.create_dataset("slow", data=noise, chunks=(400_000,), **gzip)
    os.replace(new, changing)
    client = services.client
    eventually(lambda: client.get_list("changing") == ["quick.b2nd", "slow.b2nd"])
    slow = threading.Thread(target=client.fetch, args=("changing/slow.b2nd",))
    slow.start()
    np.testing.assert_array_equal(client.fetch("changing/quick.b2nd"), np.arange(10))
    slow.join()
    np.testing.assert_array_equal(client.fetch("changing/slow.b2nd"), noise)


def test_file_that_is_not_hdf5_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("hello")
    refused = run("cat2pub", "data", str(tmp_path / "x.txt"), cwd=tmp_path)
    assert refused.returncode == 2
    assert refused.stderr.endswith(
        "x.txt is neither a directory nor an HDF5 file, Zarr store or tree of Blosc2\n"
    )


def test_text_of_variable_length_is_text_for_a_client(services: Stack) -> None:
    words = ["a", "bé", "日本語", ""] * 25
    text = np.array(words, h5py.string_dtype())
    record = np.array(list(enumerate(words)), [("n", "i4"), ("t", text.dtype)])
    client = publish(services, services.directory / "changing.h5", record=record, text=text)
    array = client.get("changing/text.b2nd")
    assert (array.dtype, array[:].tolist()) == (np.dtype("<U3"), words)
    assert array[1] == "bé"
    assert client.get("changing/record.b2nd")["t"][:].tolist() == words


def test_what_is_left_out_is_logged_once(services: Stack) -> None:
    services.client.fetch("example/scalar.b2nd")
    log = services.log("pub-example")
    for name in ("empty", "hard-link", "too-many-dimensions", "vlarrays"):
        assert log.count(f"unsupported/{name} is left out") == 1
