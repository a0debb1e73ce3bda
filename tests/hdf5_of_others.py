"""Compare HDF5 files that others wrote, value by value, with what a subscriber serves of them.

``python -m tests.hdf5_of_others DIRECTORY ...`` publishes each HDF5 file below the directories,
such as the test data of installed packages, and prints what became of it.
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
from tests.conftest import Stack, eventually


@dataclass
class Outcome:
    """What became of one file."""

    path: Path
    served: int = 0
    wrong: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    attributes: dict[str, str] = field(default_factory=dict)


def files(directory: Path) -> Iterator[Path]:
    """The HDF5 files below a directory."""
    for path in sorted(directory.rglob("*")):
        if path.is_file() and h5py.is_hdf5(path):
            yield path


def compare(stack: Stack, path: Path, name: str) -> Outcome:
    """Publish a file and read all of it through the subscriber."""
    outcome = Outcome(path)
    source = Hdf5Source(path)
    found = [path for path in source.scan() if not is_group(path)]
    for dataset in found:
        source.info(dataset)
    outcome.attributes = dict(source.file().refused)
    outcome.skipped = source.file().contents().refused
    source.close()
    if not found:
        return outcome
    stack.start_publisher(name, path, name=name)
    stack.subscribe(name)
    client = stack.client
    eventually(lambda: len(client.get_list(name)) == len(found))
    with h5py.File(path) as file:
        for dataset in found:
            expected = file[dataset.removesuffix(".b2nd")]
            try:
                got = client.fetch(f"{name}/{dataset}")
                alike = same(got, expected[()])
            except (caterva2.HttpError, OSError) as error:
                # What h5py can't read either is an error, and not other values.
                alike = unreadable(expected)
                if not alike:
                    print(f"{path.name}: {dataset}: {error}", file=sys.stderr)
            outcome.served += alike
            if not alike:
                outcome.wrong.append(dataset)
    stack.stop(name)
    return outcome


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
                    print(f"{path}: {last.served} served, {len(last.skipped)} left out, "
                          f"{len(last.attributes)} attributes left out, wrong: {last.wrong}",
                          flush=True)  # fmt: skip
        finally:
            stack.stop_all()
    reasons = Counter(r.split(":")[0] for o in outcomes for r in o.skipped.values())
    print(f"{len(outcomes)} files, {sum(o.served for o in outcomes)} datasets served and equal, "
          f"{sum(len(o.wrong) for o in outcomes)} wrong, left out: {dict(reasons)}")  # fmt: skip
    attributes = Counter(r.split(":")[0] for o in outcomes for r in o.attributes.values())
    print(f"attributes left out: {dict(attributes)}")
    return 1 if any(o.wrong for o in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
