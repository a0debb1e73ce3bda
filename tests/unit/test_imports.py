"""What a part does not need it does not load: that would be most of its start."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import samples

TOOLS = ("fsspec", "xarray", "dask", "pandas", "pyarrow", "zarr")
HEAVY = ("numpy", "blosc2", "rich", "httpx", "h5py", *TOOLS)
SERVING = ("starlette", "uvicorn", "zmq")
REPORT = "import json, sys; print(json.dumps(sorted(sys.modules)))"


def loaded(*steps: str) -> list[set[str]]:
    """The modules that are loaded after each of some steps in one interpreter."""
    text = "\n".join(f"{step}\n{REPORT}" for step in steps)
    done = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, timeout=60, check=True
    )
    return [set(json.loads(line)) for line in done.stdout.splitlines() if line[:2] == '["']


SERVICES = [
    ("import caterva2", (*HEAVY, *SERVING, "pydantic")),
    ("caterva2.Client", (*HEAVY, *SERVING, "pydantic")),
    ("import caterva2.cli.cat2cli", (*HEAVY, *SERVING)),
    ("import caterva2.cli.cat2bro", (*HEAVY, "starlette", "uvicorn")),
    ("import caterva2.cli.cat2pub", (*HEAVY, "starlette", "uvicorn")),
    ("import caterva2.integrations.filesystem", ("numpy", "blosc2", "xarray", "dask")),
    ("import caterva2.cli.cat2sub", ("h5py",)),
]
CLIENTS = [
    ("import caterva2; caterva2.Dataset, caterva2.AsyncClient", (*SERVING, "h5py", *TOOLS)),
    ("import caterva2.integrations.xarray_backend", (*SERVING, "dask.array", "fsspec.asyn")),
]


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param(SERVICES, id="services"),
        pytest.param(CLIENTS, id="clients", marks=pytest.mark.slow),
    ],
)
def test_loads_nothing_that_it_does_not_need(steps: list[tuple[str, tuple[str, ...]]]) -> None:
    """Nor does anything before it: what an earlier step loads would be seen in the later ones."""
    found = loaded(*(code for code, _ in steps))
    for (code, unneeded), modules in zip(steps, found, strict=True):
        assert modules & set(unneeded) == set(), code


def test_commands_that_need_no_data_load_nothing_for_it() -> None:
    commands = ["roots", "list foo", "rm @public/x", "url foo/a", "--help"]
    steps = ["from caterva2.cli import cat2cli"]
    for command in commands:
        given = ["--url", "http://127.0.0.1:1", *command.split()]
        steps.append(f"try: cat2cli.main({given!r})\nexcept SystemExit: pass")
    for command, modules in zip(["", *commands], loaded(*steps), strict=True):
        assert modules & set(HEAVY) == set(), command


@pytest.mark.slow
def test_a_directory_is_listed_before_what_reads_it_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "a.b2nd").write_bytes(samples.array_frame(np.arange(10)))
    scanned = (
        "from pathlib import Path\n"
        "from caterva2.sources.directory.source import DirectorySource\n"
        f"source = DirectorySource(Path({str(tmp_path)!r}))\n"
        "assert list(source.scan()) == ['a.b2nd']"
    )
    before, after = loaded(scanned, "source.warm_up()")
    assert before & set(HEAVY) == set()
    assert {"numpy", "blosc2"} <= after


@pytest.mark.slow
def test_a_directory_without_zarr_stores_loads_nothing_that_reads_them(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/a.txt").write_text("text")
    (modules,) = loaded(
        "from pathlib import Path\n"
        "from caterva2.cli.cat2pub import open_source\n"
        f"source = open_source(Path({str(tmp_path)!r}), Path({str(tmp_path)!r}))\n"
        "assert list(source.scan()) == ['d/a.txt']"
    )
    assert modules & {*HEAVY, "numcodecs", "obstore"} == set()
