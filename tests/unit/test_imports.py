"""What a part does not need it does not load: that would be most of its start."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import samples

import caterva2

TOOLS = ("fsspec", "xarray", "dask", "pandas", "pyarrow", "zarr")
HEAVY = ("numpy", "blosc2", "rich", "httpx", "h5py", *TOOLS)
SERVING = ("starlette", "uvicorn", "zmq")
REPORT = "import json, sys; print(json.dumps(sorted(sys.modules)))"


def loaded(*code: str) -> set[str]:
    """The modules that are loaded when some code has run in an interpreter of its own."""
    text = "\n".join((*code, REPORT))
    done = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, timeout=60, check=True
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    ("code", "unneeded"),
    [
        ("import caterva2", (*HEAVY, *SERVING, "pydantic")),
        ("import caterva2; caterva2.Client", (*HEAVY, *SERVING, "pydantic")),
        ("import caterva2.cli.cat2cli", (*HEAVY, *SERVING)),
        ("import caterva2.cli.cat2bro", (*HEAVY, "starlette", "uvicorn", "watchfiles")),
        ("import caterva2.cli.cat2pub", (*HEAVY, "starlette", "uvicorn")),
        ("import caterva2.cli.cat2sub", ("h5py",)),
        ("import caterva2; caterva2.Dataset, caterva2.AsyncClient", (*SERVING, "h5py", *TOOLS)),
        ("import caterva2.integrations.filesystem", ("numpy", "blosc2", "xarray", "dask")),
        ("import caterva2.integrations.xarray_backend", (*SERVING, "dask.array", "fsspec.asyn")),
    ],
)
def test_loads_nothing_that_it_does_not_need(code: str, unneeded: tuple[str, ...]) -> None:
    assert loaded(code) & set(unneeded) == set()


@pytest.mark.parametrize("command", ["roots", "list foo", "rm @public/x", "url foo/a", "--help"])
def test_commands_that_need_no_data_load_nothing_for_it(command: str) -> None:
    given = ["--url", "http://127.0.0.1:1", *command.split()]
    run = f"try: cat2cli.main({given!r})\nexcept SystemExit: pass"
    assert loaded("from caterva2.cli import cat2cli", run) & set(HEAVY) == set()


def test_a_directory_is_listed_before_what_reads_it_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "a.b2nd").write_bytes(samples.array_frame(np.arange(10)))
    scanned = (
        "from pathlib import Path",
        "from caterva2.sources.directory.source import DirectorySource",
        f"source = DirectorySource(Path({str(tmp_path)!r}))",
        "assert list(source.scan()) == ['a.b2nd']",
    )
    assert loaded(*scanned) & set(HEAVY) == set()
    assert {"numpy", "blosc2"} <= loaded(*scanned, "source.warm_up()")


def test_a_directory_without_zarr_stores_loads_nothing_that_reads_them(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/a.txt").write_text("text")
    scanned = (
        "from pathlib import Path",
        "from caterva2.cli.cat2pub import open_source",
        f"source = open_source(Path({str(tmp_path)!r}), Path({str(tmp_path)!r}))",
        "assert list(source.scan()) == ['d/a.txt']",
    )
    assert loaded(*scanned) & {*HEAVY, "numcodecs", "obstore"} == set()


@pytest.mark.parametrize("name", caterva2.__all__)
def test_every_public_name_can_be_imported(name: str) -> None:
    assert getattr(caterva2, name) is not None
