"""What chooses the inputs of a target: Atheris, which follows coverage, or mutations at random."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import random
import time
from pathlib import Path
from typing import NoReturn

from tests.fuzz import mutations
from tests.fuzz.targets import target
from tests.fuzz.watching import Slip, Watched, limit_memory

ADDRESSES = 2**30
"""Bytes that a process may take beyond what it has when it begins."""


def run(name: str, seconds: float, seed: int, slip: Slip, directory: Path) -> None:
    """Run a target in this process for some time; with Atheris the process ends then."""
    logging.disable()
    if importlib.util.find_spec("atheris") is not None:
        _guided(name, seconds, seed, slip, directory)
    _at_random(name, seconds, seed, slip, directory)


def _watched(name: str, slip: Slip, directory: Path) -> Watched:
    made = Watched(name, target(name), slip, directory)
    from tests.fuzz.corpus import seeds

    for data in seeds(name):
        made(data)
    limit_memory(ADDRESSES)
    return made


def _guided(name: str, seconds: float, seed: int, slip: Slip, directory: Path) -> NoReturn:
    """Give a target what reaches code that nothing before has reached.

    Such inputs are kept, in a directory for each target, for the next time.
    """
    import atheris

    with atheris.instrument_imports(include=["caterva2"]):
        made = _watched(name, slip, directory)
    from tests.fuzz.corpus import seeds

    kept = directory / "corpus" / name
    kept.mkdir(parents=True, exist_ok=True)
    for n, data in enumerate(seeds(name)):
        (kept / f"seed-{n}").write_bytes(data)
    options = (
        f"-max_total_time={max(int(seconds), 1)}", f"-seed={seed + 1}", "-rss_limit_mb=0",
        "-malloc_limit_mb=0", f"-artifact_prefix={directory}/{name}-", "-verbosity=0",
        f"-max_len={mutations.MOST}", "-len_control=0",
    )  # fmt: skip
    atheris.Setup([name, *options, str(kept)], made)
    atheris.Fuzz()
    raise AssertionError("the fuzzer returned")


def _at_random(name: str, seconds: float, seed: int, slip: Slip, directory: Path) -> None:
    made = _watched(name, slip, directory)
    from tests.fuzz.corpus import seeds

    until = time.monotonic() + seconds
    with contextlib.closing(mutations.mutants(seeds(name), random.Random(seed))) as mutants:
        while time.monotonic() < until:
            made(next(mutants))
