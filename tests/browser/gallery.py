"""A root with arrays of all dtypes, and other things that pages have to show rightly."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import blosc2
import numpy as np

POINT = np.dtype([("n", "<i4"), ("name", "<U8"), ("at", [("x", "<f8"), ("y", "<f8")])])
ARRAYS: dict[str, np.ndarray] = {
    "i1": np.array([-128, 0, 127], "i1"),
    "u8": np.array([0, 2**53 + 1, 2**64 - 1], "u8"),
    "i8": np.array([-(2**63), 2**53 + 1, 2**63 - 1], "i8"),
    "big": np.array([1, -2, 70000], ">i4"),
    "f2": np.array([0.1, np.inf, np.nan], "f2"),
    "f4": np.array([0.1, -np.inf, 1e-30], "f4"),
    "f8": np.array([0.1, 1e300, np.nan], "f8"),
    "c8": np.array([1 + 2j, complex("nan"), 0], "c8"),
    "c16": np.array([0.1 + 0.2j, -1j, 3], "c16"),
    "bool": np.array([True, False, True]),
    "S": np.array([b"abc", b"<b>\xff", b""], "S5"),
    "U": np.array(["abc", "<b>ü", ""], "U5"),
    "M": np.array(["2026-11-27", "NaT", "1969-12-31"], "M8[D]"),
    "m": np.array([1, -5, 0], "m8[s]"),
    "nan": np.full(3, np.nan),
    "one": np.array(7.25),
    "none": np.empty((0, 3)),
    "deep": np.arange(2**16, dtype="i4").reshape((2,) * 16),
    "five": np.arange(3 * 4 * 5 * 60 * 30, dtype="i4").reshape(3, 4, 5, 60, 30),
    "records": np.array([(n, f"n{n}", (n / 4, -n)) for n in range(200)], POINT),
}
TYPED = (
    "i1", "u8", "i8", "big", "f2", "f4", "f8", "c8", "c16", "bool", "S", "U", "M", "m", "nan",
)  # fmt: skip


LARGE = 68, 2**17
"""An array of one chunk of 71 MB, before which the reader is asked."""


def write(root: Path) -> None:
    """Write all arrays into a directory, and a large one."""
    root.mkdir()
    noise = np.random.default_rng(1).integers(0, 2**63, LARGE)
    given: Any = {"urlpath": str(root / "large.b2nd"), "mode": "w", "cparams": {"clevel": 0}}
    blosc2.asarray(noise, chunks=noise.shape, blocks=(1, 2**15), **given)
    for name, values in ARRAYS.items():
        blosc2.asarray(values, urlpath=str(root / f"{name}.b2nd"), mode="w")


EVIL = '"><img src=x onerror=pwn()><script>pwn()</script>'
"""Text that becomes a script wherever it is not escaped."""
NAMES = (
    "<script>pwn()<|script>",
    "'\"><img src=x onerror=pwn()>",
    "{{7*7}}${7*7}",
    "a&lt;b#?%41+ü",
)
"""Names of directories and files; a slash can't be in them."""
MARKDOWN = f"""# Title {EVIL}
<script>pwn()</script> <img src=x onerror=pwn()> <a href="javascript:pwn()">a</a>
[js](javascript:pwn()) [data](data:text/html,<script>pwn()</script>) [vb](vbscript:pwn())
[good](other.md) [<b>](x"onclick="pwn()) ![x](http://evil.example/x.png) ![y](picture.png)
<svg onload=pwn()> `{EVIL}` <javascript:pwn()> **bold**

```html"><script>pwn()</script>
{EVIL}
```

```python
import caterva2
```
"""
SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9" onload="parent.pwn()">'
    "<script>parent.pwn()</script><rect width='9' height='9'/></svg>"
)
PDF = b"""%PDF-1.4
1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj
2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj
3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 100]>>endobj
trailer<</Root 1 0 R>>
"""


def picture() -> bytes:
    """A picture of 4 x 3 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        whole = kind + data
        return struct.pack(">I", len(data)) + whole + struct.pack(">I", zlib.crc32(whole))

    pixels = zlib.compress(b"".join(b"\0" + bytes(range(4)) for _ in range(3)))
    head = struct.pack(">IIBBBBB", 4, 3, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def notebook() -> str:
    png = base64.b64encode(picture()).decode()
    outputs = [
        {"output_type": "stream", "name": "stdout", "text": ["out\n", EVIL]},
        {"output_type": "display_data", "data": {"image/png": png, "text/plain": [EVIL]}},
        {"output_type": "execute_result",
         "data": {"text/html": [EVIL], "text/plain": ["plain"], "application/javascript": "pwn()"}},
        {"output_type": "display_data", "data": {"image/png": f"x{EVIL}", "image/svg+xml": SVG}},
        {"output_type": "error", "traceback": ["\x1b[31mError\x1b[0m", EVIL]},
    ]  # fmt: skip
    code = {"cell_type": "code", "execution_count": 3, "source": [EVIL], "outputs": outputs}
    text = {"cell_type": "markdown", "source": [MARKDOWN]}
    return json.dumps({"cells": [text, code], "metadata": {"language_info": {"name": EVIL}}})


def write_files(root: Path) -> None:
    """Write files of all kinds that pages show, and of those that attack a reader."""
    root.mkdir()
    texts = {
        "notes.md": MARKDOWN, "page.html": f"<html>{EVIL}</html>", "code.py": f"x = 1  # {EVIL}\n",
        "drawing.svg": SVG, "book.ipynb": notebook(), "broken.ipynb": '{"cells": 3}',
        "plain.unknown": EVIL, "empty.txt": "",
    }  # fmt: skip
    for name, text in texts.items():
        (root / name).write_text(text)
    (root / "picture.png").write_bytes(picture())
    (root / "broken.png").write_bytes(picture()[:40])
    (root / "paper.pdf").write_bytes(PDF)
    (root / "noise.bin").write_bytes(bytes(range(256)) * 40)
    with (root / "huge.txt").open("wb") as file:
        file.write(b"the beginning\n" * 100_000)
        file.truncate(2**30)
    (root / "long.md").write_text(f"{MARKDOWN}\n" * 12_000)
    for name in NAMES:
        (root / name).mkdir()
        evil = np.dtype([(EVIL, "<i4"), ("<b>", "U40")])
        values = np.array([(1, EVIL[:40])], evil)
        made = blosc2.asarray(values, urlpath=str(root / name / f"{name}.b2nd"), mode="w")
        made.schunk.vlmeta["<img src=x onerror=pwn()>"] = {"<b>": EVIL}
