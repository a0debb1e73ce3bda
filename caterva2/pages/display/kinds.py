"""What a file is for a reader, by its name and its first bytes."""

from __future__ import annotations

import mimetypes
from typing import Literal

Kind = Literal["markdown", "notebook", "code", "text", "image", "pdf", "audio", "video", "bytes"]
_IMAGES = frozenset(
    ("image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "image/bmp",
     "image/svg+xml", "image/x-icon", "image/vnd.microsoft.icon")
)  # fmt: skip
"""Those that browsers show."""
_SOUND = ("audio", "video")


def plain_name(name: str) -> str:
    """Return a file's name without the suffix of a Blosc2 frame around it."""
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and suffix.lower() == "b2frame" else name


def by_name(name: str) -> Kind | None:
    """Return what a file is by its name alone; None if that takes its content."""
    lower = name.lower()
    if lower.endswith((".md", ".markdown")):
        return "markdown"
    if lower.endswith(".ipynb"):
        return "notebook"
    media_type = mimetypes.guess_type(lower)[0] or ""
    if media_type == "application/pdf":
        return "pdf"
    if media_type in _IMAGES:
        return "image"
    for kind in _SOUND:
        if media_type.startswith(f"{kind}/"):
            return "audio" if kind == "audio" else "video"
    return None


def text_of(data: bytes, *, whole: bool) -> str | None:
    """Decode bytes as UTF-8; None if they are no text. Unless whole, the end may be cut."""
    if b"\0" in data:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        if whole or error.start < len(data) - 3:
            return None
        return data[: error.start].decode()


def dump(data: bytes, width: int = 16) -> str:
    """Return bytes as lines of offset, hexadecimal digits and letters."""
    lines = []
    for start in range(0, len(data), width):
        part = data[start : start + width]
        letters = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        lines.append(f"{start:08x}  {part.hex(' '):<{3 * width}} {letters}")
    return "\n".join(lines)
