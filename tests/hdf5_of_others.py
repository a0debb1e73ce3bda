"""Compare HDF5 files that others wrote with what a subscriber serves of them.

``python -m tests.hdf5_of_others DIRECTORY ...`` publishes each HDF5 file below the directories,
such as the test data of installed packages, and prints what became of it: values and dtypes of all
datasets, their dimensions, and the attributes of datasets, groups and files with their types.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401 - so that h5py reads what it can
import numpy as np

import caterva2
from caterva2.errors import StartError
from caterva2.hdf5.source import Hdf5Source
from caterva2.names import is_group
from tests import facts_of_others as facts
from tests.conftest import Stack, eventually


@dataclass
class Outcome:
    """What became of one file."""

    path: Path
    served: int = 0
    wrong: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    attributes: dict[str, str] = field(default_factory=dict)
    equal: int = 0
    """Attributes that are equal."""
    named: int = 0
    """Datasets whose dimensions have the names that h5py or netCDF's library finds."""

    @property
    def is_right(self) -> bool:
        return not self.wrong


def files(directory: Path) -> Iterator[Path]:
    """The HDF5 files below a directory."""
    for path in sorted(directory.rglob("*")):
        if path.is_file() and h5py.is_hdf5(path):
            yield path


def compare(stack: Stack, path: Path, name: str) -> Outcome:
    """Publish a file and read all of it through the subscriber."""
    outcome = Outcome(path)
    source = Hdf5Source(path)
    scanned = source.scan()
    found = [path for path in scanned if not is_group(path)]
    for entry in scanned:
        source.info(entry)
        for name, reason in source.file().refused.get(entry, {}).items():
            outcome.attributes[f"{entry}@{name}"] = reason
    outcome.skipped = source.file().contents().refused
    source.close()
    if not found:
        return outcome
    stack.start_publisher(name, path, name=name)
    stack.subscribe(name)
    client = stack.client
    eventually(lambda: len(client.get_list(name)) == len(found))
    known = facts.dimensions(path)
    with h5py.File(path) as file:
        for dataset in found:
            compare_dataset(client, f"{name}/{dataset}", file[dataset.removesuffix(".b2nd")],
                            known, outcome)  # fmt: skip
        for group in facts.groups(file):
            where = group.name.strip("/")
            try:
                got = (
                    client.get(f"{name}/{where}".strip("/")).attrs if where else client[name].attrs
                )
            except caterva2.HttpError:
                got = {}  # nothing of it is served
            compare_attributes(group, got, f"{where}/.group".lstrip("/"), outcome)
    stack.stop(name)
    return outcome


def compare_dataset(
    client: caterva2.Client, path: str, expected: h5py.Dataset, known: dict[str, Any],
    outcome: Outcome,
) -> None:  # fmt: skip
    """Compare a dataset with what is served of it."""
    remote = client.get(path)
    try:
        values = expected[()]
    except OSError:
        values = None  # what h5py can't read either is an error, and not other values
    try:
        alike = same(client.fetch(path), values)
    except (caterva2.HttpError, OSError) as error:
        alike = unreadable(expected)
        if not alike:
            print(f"{path}: {error}", file=sys.stderr)
    dtype = facts.same_dtype(remote.dtype.base, expected.dtype)
    outcome.served += alike and dtype
    if not (alike and dtype):
        outcome.wrong.append(f"{path}: {remote.dtype}, {expected.dtype}")
    name = expected.name.strip("/")
    dims = known.get(name) or facts.labelled(expected)
    if any(dims):
        got = tuple(client.get_info(path).get("dims") or ())[: len(dims)]
        outcome.named += got == tuple(dims)
        if got != tuple(dims):
            outcome.wrong.append(f"{path}: dimensions {got}, not {dims}")
    compare_attributes(expected, remote.attrs, f"{name}.b2nd", outcome)


def compare_attributes(owner: Any, got: Any, where: str, outcome: Outcome) -> None:
    for name, became in facts.attributes(owner, got):
        if became == "equal":
            outcome.equal += 1
        elif became == "absent" and f"{where}@{name}" in outcome.attributes:
            continue  # left out, with its reason
        elif became.startswith("h5py can't"):
            outcome.attributes[f"{where}@{name}"] = became
        else:
            outcome.wrong.append(f"{where}@{name}: {became}")


def unreadable(dataset: h5py.Dataset) -> bool:
    try:
        dataset[()]
    except OSError:
        return True
    return False


def same(got: Any, expected: Any) -> bool:
    """Whether two values are equal, NaNs, fields of records and text included."""
    one, other = np.asarray(got), np.asarray(expected)
    if one.shape != other.shape:
        return False
    if other.dtype.names:
        return all(same(one[name], other[name]) for name in other.dtype.names)
    if one.dtype.kind in "US" and other.dtype.kind in "SO":  # text, of variable length maybe
        return plain(one) == plain(other)
    return one.tobytes() == other.tobytes() or bool((one == other).all())


def plain(texts: Any) -> list[bytes]:
    """Texts as `bytes`."""
    items = texts.ravel().tolist()
    return [item.encode() if isinstance(item, str) else item for item in items]


def main(directories: list[str]) -> int:
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory() as statedir:
        stack = Stack(Path(statedir))
        try:
            stack.start()
            for directory in directories:
                for path in files(Path(directory)):
                    try:
                        outcomes.append(compare(stack, path, f"r{len(outcomes)}"))
                    except StartError as error:
                        print(f"{path}: refused: {error}")
                        continue
                    last = outcomes[-1]
                    print(f"{path}: {last.served} datasets and {last.equal} attributes equal, "
                          f"{last.named} with dimensions, left out: {last.skipped} "
                          f"{last.attributes}, wrong: {last.wrong}", flush=True)  # fmt: skip
        finally:
            stack.stop_all()
    reasons = Counter(r.split(":")[0] for o in outcomes for r in o.skipped.values())
    print(f"{len(outcomes)} files, {sum(o.served for o in outcomes)} datasets served and equal, "
          f"{sum(o.named for o in outcomes)} of them with dimensions, "
          f"{sum(o.equal for o in outcomes)} attributes equal, "
          f"{sum(len(o.wrong) for o in outcomes)} wrong, left out: {dict(reasons)}")  # fmt: skip
    attributes = Counter(r.split(":")[0] for o in outcomes for r in o.attributes.values())
    print(f"attributes left out: {dict(attributes)}")
    return 1 if any(o.wrong for o in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
