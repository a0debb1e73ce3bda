"""Files in a published directory that are not what they should be."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import h5py
import numpy as np

from benchmarks.hostile.target import SECONDS, Target


def name_of_bytes(target: Target) -> str:
    """Make a file whose name is no UTF-8, and one that is to be seen."""
    source = Path(target.source)
    place = os.fsencode(source / "caf") + b"\xe9.txt"
    with open(place, "wb") as file:
        file.write(b"x")
    (source / "seen.txt").write_bytes(b"x")
    try:
        return f"the next file {_seen(target, 'seen.txt')}"
    finally:
        os.unlink(place)
        (source / "seen.txt").unlink()


def swapped_links(target: Target) -> str:
    """Swap a directory with links out of the root, as fast as that goes."""
    source, until, count = Path(target.source), time.monotonic() + SECONDS, 0
    inside, link = source / "swapped", source / "linked"
    inside.mkdir()
    (inside / "a.txt").write_bytes(b"x")
    leaks = 0
    while time.monotonic() < until:
        os.symlink("/etc", link)
        os.rename(inside, source / "away")
        os.rename(link, inside)
        count += 1
        if count % 200 == 0:
            leaks += target.get(f"api/download/{target.root}/swapped/passwd")[0] == 200
        os.unlink(inside)
        os.rename(source / "away", inside)
    (source / "seen.txt").write_bytes(b"x")
    try:
        return f"{count} swaps, {leaks} leaks; the next file {_seen(target, 'seen.txt')}"
    finally:
        (source / "seen.txt").unlink()
        (inside / "a.txt").unlink()
        inside.rmdir()


def damaged_hdf5(target: Target) -> str:
    """Publish files of HDF5 that were cut, as while they are copied."""
    source = Path(target.source)
    whole = source.parent / "whole.h5"
    with h5py.File(whole, "w", libver="latest") as file:
        for n in range(20):
            file.create_dataset(f"group{n}/x", data=np.arange(5000.0), chunks=(500,))
    data = whole.read_bytes()
    cuts = [source / f"cut{share}.h5" for share in (25, 50, 75)]
    for share, cut in zip((25, 50, 75), cuts, strict=True):
        cut.write_bytes(data[: len(data) * share // 100])
    try:
        statuses = [target.get(f"api/info/{target.root}/{cut.name}")[0] for cut in cuts]
        (source / "seen.txt").write_bytes(b"x")
        seen = _seen(target, "seen.txt")
        return f"the cut files {statuses}; the next file {seen}"
    finally:
        for one in (whole, *cuts, source / "seen.txt"):
            one.unlink(missing_ok=True)


def _seen(target: Target, name: str) -> str:
    began = time.monotonic()
    while time.monotonic() - began < 60:
        status, body = target.get(f"api/list/{target.root}")
        if status == 200 and name in json.loads(body):
            return f"seen after {time.monotonic() - began:.1f} s"
        time.sleep(0.1)
    return "**never seen**"
