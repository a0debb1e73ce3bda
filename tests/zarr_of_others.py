"""Compare Zarr stores that others wrote with what a subscriber serves of them.

``python -m tests.zarr_of_others DIRECTORY ...`` publishes each store below the directories, in
directories and zip files, and prints what became of it: values, dtypes, attributes and dimensions
of all arrays, and the attributes of groups.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import zarr
from zarr.storage import ZipStore

import caterva2
from caterva2.errors import CatervaError
from caterva2.formats.zarr_fill_values import ATTRIBUTE
from caterva2.names import is_group
from caterva2.stores.opening import open_zarr
from caterva2.stores.recognition import METADATA
from tests import facts_of_others as facts
from tests.conftest import Stack, eventually
from tests.hdf5_of_others import Outcome, same


def stores(directory: Path) -> Iterator[Path]:
    """The outermost stores below a directory."""
    for where, below, names in os.walk(directory):
        if any(name in names for name in METADATA):
            below.clear()
            yield Path(where)
        yield from (Path(where, name) for name in names if name.endswith(".zarr.zip"))


def compare(stack: Stack, path: Path, name: str) -> Outcome:
    """Publish a store and read all of it through the subscriber."""
    outcome = Outcome(path)
    source = open_zarr(path)
    entries = source.scan()
    arrays = [entry for entry in entries if not is_group(entry)]
    for entry in entries:
        source.info(entry)
    outcome.attributes = {k: why for k, why in source.notices.items() if "@" in k}
    outcome.skipped = {k: why for k, why in source.notices.items() if "@" not in k}
    source.close()
    stack.start_publisher(name, path, name=name)
    stack.subscribe(name)
    client = stack.client
    eventually(lambda: len(client.get_list(name)) == len(arrays))
    with contextlib.ExitStack() as opened:
        group = zarr.open_group(_place(path, opened), mode="r", use_consolidated=False)
        members = dict(group.members(max_depth=None)) | {"": group}
        for key, member in members.items():
            if isinstance(member, zarr.Array) and f"{key}.b2nd" in arrays:
                _array(client, f"{name}/{key}.b2nd", member, outcome)
            elif isinstance(member, zarr.Group) and member.attrs:
                got = (client.get(f"{name}/{key}") if key else client[name]).attrs
                _attributes(member.attrs, got, key, outcome)
    missing = {key for key, each in members.items() if isinstance(each, zarr.Array)}
    missing -= {path.removesuffix(".b2nd") for path in arrays} | outcome.skipped.keys()
    outcome.wrong += [f"{key}: is neither served nor named" for key in missing]
    stack.stop(name)
    return outcome


def _place(path: Path, opened: contextlib.ExitStack) -> Any:
    """What zarr-python opens: a directory, a zip file, or the folder in it that is a store."""
    if path.is_dir():
        return path
    with zipfile.ZipFile(path) as file:
        names = file.namelist()
    store = ZipStore(path, mode="r")
    store._sync_open()
    opened.callback(store.close)
    if any(name in names for name in METADATA):
        return store
    return zarr.storage.StorePath(store, names[0].partition("/")[0])


def _array(client: caterva2.Client, path: str, expected: Any, outcome: Outcome) -> None:
    remote = client.get(path)
    if same(client.fetch(path), expected[...]) and facts.same_dtype(remote.dtype, expected.dtype):
        outcome.served += 1
    else:
        outcome.wrong.append(f"{path}: {remote.dtype}, {expected.dtype}")
    own = expected.metadata.zarr_format == 3 and expected.metadata.dimension_names
    dims = own or expected.attrs.get("_ARRAY_DIMENSIONS")
    if dims:
        got = client.get_info(path).get("dims")
        outcome.named += list(got or ()) == list(dims)
        if list(got or ()) != list(dims):
            outcome.wrong.append(f"{path}: dimensions {got}, not {dims}")
    _attributes(expected.attrs, remote.attrs, path, outcome)


def _attributes(expected: Any, got: Any, where: str, outcome: Outcome) -> None:
    for name in expected:
        if name == ATTRIBUTE:
            continue  # it has the array's dtype, which tests of its own compare
        if name in got and facts.equal(facts.plain(got[name], None), expected[name]):
            outcome.equal += 1
        elif not any(key.endswith(f"@{name}") for key in outcome.attributes):
            outcome.wrong.append(f"{where}@{name}: {got.get(name)!r}, not {expected[name]!r}"[:300])


def main(directories: list[str]) -> int:
    warnings.simplefilter("ignore")
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory() as statedir:
        stack = Stack(Path(statedir))
        try:
            stack.start()
            found = [path for each in directories for path in stores(Path(each))]
            for number, path in enumerate(found):
                try:
                    outcomes.append(compare(stack, path, f"r{number}"))
                except (CatervaError, ValueError) as error:  # bad JSON, say
                    print(f"{path}: refused: {error}")
                    continue
                last = outcomes[-1]
                print(f"{path}: {last.served} arrays and {last.equal} attributes equal, "
                      f"{last.named} with dimensions, left out: {last.skipped} "
                      f"{last.attributes}, wrong: {last.wrong}", flush=True)  # fmt: skip
        finally:
            stack.stop_all()
    print(f"{len(outcomes)} stores, {sum(o.served for o in outcomes)} arrays served and equal, "
          f"{sum(o.named for o in outcomes)} of them with dimensions, "
          f"{sum(o.equal for o in outcomes)} attributes equal, "
          f"{sum(len(o.wrong) for o in outcomes)} wrong, "
          f"{sum(len(o.skipped) for o in outcomes)} arrays left out")  # fmt: skip
    return 1 if any(o.wrong for o in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
