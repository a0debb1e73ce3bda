"""The example root, byte for byte reproducible: ``python -m caterva2.examples.exampleroot DIR``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import blosc2
import numpy as np

README = """\
# The example root

A few small datasets of every kind, made by `python -m caterva2.examples.exampleroot DIRECTORY`.

- `ds-hello.b2frame`: a byte string in Blosc2 chunks.
- `ds-1d.b2nd`, `ds-1d-b.b2nd`, `ds-1d-fields.b2nd`, `ds-2d-fields.b2nd`: arrays of numbers,
  strings and records.
- `ds-sc-attr.b2nd`: a scalar with attributes.
- `dir1/`, `dir2/`: arrays of more dimensions.
"""


def make(directory: Path) -> list[Path]:
    """Write the example root.

    Parameters
    ----------
    directory : Path
        Made if it does not exist; files of the same names are replaced.

    Returns
    -------
    list of Path
        What was written.
    """
    grid: dict[str, Any] = {"chunks": (100,), "blocks": (10,)}
    written = [_text(directory / "README.md"), _hello(directory / "ds-hello.b2frame")]
    arrays: list[tuple[str, Any, dict[str, Any]]] = [
        ("ds-1d.b2nd", np.arange(1000, dtype="i8"), grid),
        ("ds-1d-b.b2nd", np.array([b"foobar"] * 1000), grid),
        ("ds-1d-fields.b2nd", _records(), grid),
        ("ds-2d-fields.b2nd", _records_2d(), {"chunks": (50, 100), "blocks": (10, 20)}),
        ("ds-sc-attr.b2nd", np.array("foobar"), {}),
        (
            "dir1/ds-2d.b2nd",
            np.arange(200, dtype="u2").reshape(10, 20),
            {"chunks": (5, 5), "blocks": (2, 3)},
        ),
        (
            "dir1/ds-3d.b2nd",
            np.arange(60, dtype="f4").reshape(3, 4, 5),
            {"chunks": (2, 3, 4), "blocks": (2, 2, 2)},
        ),
        (
            "dir2/ds-4d.b2nd",
            (np.arange(120) * (1 + 1j)).reshape(2, 3, 4, 5),
            {"chunks": (1, 2, 3, 4), "blocks": (1, 2, 2, 2)},
        ),
    ]
    for name, values, layout in arrays:
        written.append(_array(directory / name, values, layout))
    return written


def _array(path: Path, values: Any, layout: dict[str, Any]) -> Path:
    array = blosc2.asarray(values, cparams=_cparams(values.dtype.itemsize), **layout)
    if path.name == "ds-sc-attr.b2nd":
        for name, value in {"a": 1, "b": "foo", "c": 123.456}.items():
            array.schunk.vlmeta[name] = value
    return _write(path, array.to_cframe())


def _hello(path: Path) -> Path:
    data = b"Hello world!" * 100
    schunk = blosc2.SChunk(chunksize=100, data=data, cparams=_cparams(1))
    return _write(path, schunk.to_cframe())


def _text(path: Path) -> Path:
    return _write(path, README.encode())


def _cparams(typesize: int) -> blosc2.CParams:
    # One thread and a fixed split mode, since the bytes must not depend on the machine.
    return blosc2.CParams(
        codec=blosc2.Codec.ZSTD, clevel=1, typesize=typesize, nthreads=1,
        filters=[*[blosc2.Filter.NOFILTER] * 5, blosc2.Filter.SHUFFLE],
        splitmode=blosc2.SplitMode.ALWAYS_SPLIT,
    )  # fmt: skip


def _records() -> Any:
    values = np.empty(1000, dtype=[("a", "<i4"), ("b", "<f8"), ("c", "S10"), ("d", "?")])
    values["a"] = np.arange(1000)
    values["b"] = np.linspace(0, 1, 1000)
    values["c"] = [f"foobar{n}".encode() for n in range(1000)]
    values["d"] = np.arange(1000) % 2 == 0
    return values


def _records_2d() -> Any:
    values = np.empty((100, 200), dtype=[("a", "<f4"), ("b", "<f8")])
    values["a"] = np.linspace(0, 1, 20_000).reshape(100, 200)
    values["b"] = np.linspace(1, 2, 20_000).reshape(100, 200)
    return values


def _write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def main(argv: list[str]) -> int:
    """Write the example root into a directory, and return an exit code."""
    if len(argv) != 1 or argv[0].startswith("-"):
        print("usage: python -m caterva2.examples.exampleroot DIRECTORY", file=sys.stderr)
        return 2
    for path in make(Path(argv[0])):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
