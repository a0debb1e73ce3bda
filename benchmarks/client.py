"""What a reader does, as a process of its own: ``python -m benchmarks.client COMMAND ...``.

So none of them profits from memory or connections that an earlier one made. Each prints numbers
on its last line.
"""

from __future__ import annotations

import http.client
import multiprocessing
import operator
import os
import random
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.synchronize import Barrier
from typing import Any

import blosc2

import caterva2
import caterva2.client.objects.root

# Clients import these when they first read, which would be timed in each process anew.
import caterva2.client.read.download
import caterva2.client.read.frames
import caterva2.client.read.values
from caterva2.client.transport import Request, Response, Transport

WARMING = 20


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def connected(url: str) -> caterva2.Client:
    """A client with a connection that stands."""
    client = caterva2.Client(url, timeout=300)
    client.get_roots()
    return client


def wait() -> None:
    """Until all that read together are ready."""
    if _together:
        _together[0].wait(300)


def read(url: str, path: str) -> list[float]:
    """Seconds to read a whole dataset."""
    client = connected(url)
    wait()
    return [timed(lambda: client.fetch(path))]


def zarr_python(where: str, name: str) -> list[float]:
    """Seconds to read an array of a Zarr store without any service."""
    import zarr
    import zarr.storage

    store: Any = where
    if "://" in where:
        import obstore.store

        made = obstore.store.from_url(where, client_options={"allow_http": True})
        store = zarr.storage.ObjectStore(made, read_only=True)
    array: Any = zarr.open_group(store, mode="r")[name]
    return [timed(lambda: array[...])]


def tensorstore(url: str, place: str, count: str) -> list[float]:
    """Seconds to read an array as Zarr, or for each of some slices."""
    import tensorstore

    spec = {"driver": "zarr3", "kvstore": f"{url}/zarr/{place}/"}
    array: Any = tensorstore.open(spec).result()
    return _read_or_slices(array, lambda key: array[key].read().result(), count)


def zarr_obstore(url: str, place: str, count: str) -> list[float]:
    """Do so by zarr-python over obstore."""
    import obstore.store
    import zarr
    import zarr.storage

    made = obstore.store.from_url(f"{url}/zarr/{place}", client_options={"allow_http": True})
    array: Any = zarr.open_array(zarr.storage.ObjectStore(made, read_only=True), mode="r")
    return _read_or_slices(array, lambda key: array[key], count)


def _read_or_slices(array: Any, look: Callable[[Any], Any], count: str) -> list[float]:
    if count == "0":
        return [timed(lambda: look(...))]
    for key in places(array.shape, WARMING, 0):
        look(key)
    return [timed(partial(look, key)) for key in places(array.shape, int(count), 1)]


def decode(file: str) -> list[float]:
    """Seconds to decode a whole file, without any service."""
    array = blosc2.open(file, mode="r")
    return [timed(lambda: array[()])]


def places(shape: tuple[int, ...], count: int, seed: int) -> Iterator[tuple[slice, slice]]:
    """Slices of 10x10 at random."""
    chosen = random.Random(seed)
    for _ in range(count):
        y, x = (chosen.randrange(size - 10) for size in shape)
        yield slice(y, y + 10), slice(x, x + 10)


def each(array: Any, count: int, seed: int) -> list[float]:
    return [
        timed(partial(operator.getitem, array, key)) for key in places(array.shape, count, seed)
    ]


def slices(url: str, path: str, count: str, threads: str) -> list[float]:
    """Seconds of each slice of some threads."""
    arrays: list[Any] = [caterva2.Client(url).get(path) for _ in range(int(threads))]
    for array in arrays:
        each(array, WARMING, 0)
    wait()
    found: list[float] = []

    def run(n: int) -> None:
        found.extend(each(arrays[n], int(count), os.getpid() * len(arrays) + n))

    if len(arrays) == 1:
        run(0)
        return found
    readers = [threading.Thread(target=run, args=(n,)) for n in range(len(arrays))]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    return found


def local_slices(file: str, count: str) -> list[float]:
    """The same from an open file, without any service."""
    return each(blosc2.open(file, mode="r"), int(count), 0)


def home_read(url: str, path: str, cache: str) -> list[float]:
    """Seconds to read a whole dataset from the client's own cache, when it was verified."""
    array: Any = caterva2.Client(url, cache=cache).get(path)
    array[:]
    return [timed(lambda: array[:])]


def home_slices(url: str, path: str, cache: str, count: str) -> list[float]:
    """Seconds of each slice from the client's own cache."""
    array: Any = caterva2.Client(url, cache=cache).get(path)
    array[:]
    each(array, WARMING, 0)
    return each(array, int(count), 1)


def gets(url: str, count: str) -> list[float]:
    """Seconds of each small GET on one connection."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc)

    def get() -> None:
        connection.request("GET", parts.path)
        connection.getresponse().read()

    return [timed(get) for _ in range(int(count))]


def heavy(url: str, target: str, accept: str, readers: str) -> list[float]:
    """Send a request over and over by some threads, and drop the answers, until it is killed."""
    netloc, room = urllib.parse.urlsplit(url).netloc, bytearray(1 << 20)

    def run() -> None:
        connection = http.client.HTTPConnection(netloc)
        while True:
            connection.request("GET", target, headers={"Accept": accept})
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()
            while answer.readinto(room):
                pass

    for _ in range(int(readers)):
        threading.Thread(target=run, daemon=True).start()
    print("ready", flush=True)
    threading.Event().wait()
    return []


def one_slice(url: str, *paths: str) -> list[float]:
    """Seconds of one small slice of each dataset, of which this client knows nothing yet."""
    client = connected(url)
    key = slice(100, 110), slice(100, 110)
    return [timed(partial(client.fetch, path, key)) for path in paths]


class CountingTransport(Transport):
    """Counts the requests that another transport sends."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        self.urlbase = inner.urlbase
        self.count = 0

    def url(self, path: str) -> str:
        return self._inner.url(path)

    def exchange(self, request: Request) -> Response:
        self.count += 1
        return self._inner.exchange(request)

    def close(self) -> None:
        self._inner.close()


def open_all(url: str, root: str) -> list[float]:
    """Seconds to know the metadata of all datasets of a root, their number, and the requests."""
    transport = CountingTransport(connected(url).transport)
    client = caterva2.Client.over(transport)
    found: dict[str, tuple[int, ...]] = {}

    def look() -> None:
        opened: Any = client.get(root)
        found.update({path: dataset.shape for path, dataset in opened.items()})

    took = timed(look)
    assert all(found.values())
    return [took, float(len(found)), float(transport.count)]


def together(count: str, name: str, *given: str) -> list[float]:
    """A command in several processes that begin at once; seconds of all, then what each found."""
    fork = multiprocessing.get_context("fork")  # what is imported is imported once
    barrier = fork.Barrier(int(count) + 1)
    found: multiprocessing.SimpleQueue[list[float]] = fork.SimpleQueue()
    _together.append(barrier)
    children = [
        fork.Process(target=lambda: found.put(COMMANDS[name](*given)), daemon=True)
        for _ in range(int(count))
    ]
    for child in children:
        child.start()
    barrier.wait(300)
    numbers: list[float] = []

    def collect() -> None:
        for _ in children:
            numbers.extend(found.get())

    return [timed(collect), *numbers]


_together: list[Barrier] = []
COMMANDS: dict[str, Callable[..., list[float]]] = {
    each.__name__: each
    for each in (
        read, decode, zarr_python, tensorstore, zarr_obstore, slices, together, local_slices, gets,
        one_slice, open_all, home_read, home_slices, heavy,
    )
}  # fmt: skip

if __name__ == "__main__":
    print(*COMMANDS[sys.argv[1]](*sys.argv[2:]))
