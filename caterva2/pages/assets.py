"""Scripts, styles and pictures of the pages, below a digest of all of them."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from caterva2.web.conditions import has_version

FOLDER = Path(__file__).parent / "static"
_TEXT = (".js", ".css", ".svg", ".txt", ".json", ".toml")
_TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".toml": "text/plain"}
_WORKER = "default-src 'none'; script-src 'self'; connect-src 'self'"
"""What a script may do that runs as a worker."""
_FOREVER, _ASK = "public, max-age=31536000, immutable", "no-cache"


@dataclass(frozen=True)
class Asset:
    """A file as it is served."""

    plain: bytes
    is_text: bool
    media_type: str
    digest: str

    @cached_property
    def packed(self) -> bytes | None:
        """The file with gzip, where that is smaller; made when it is first needed, in a thread."""
        packed = gzip.compress(self.plain, 6, mtime=0) if self.is_text else None
        return packed if packed and len(packed) < len(self.plain) else None


class Assets:
    """All static files, in memory.

    The path of a file begins with a digest of all files, so browsers keep it for ever, and modules
    import each other by relative paths. A path with another digest is answered too, by what there
    is now: the page that names it was made by another version.

    Parameters
    ----------
    plugins : mapping of str to Path, optional
        Folders of plugins by their names; their files lie below ``plugins/NAME/``.
    """

    def __init__(self, plugins: Mapping[str, Path] = MappingProxyType({})) -> None:
        self.files = _files(FOLDER)
        for name, folder in plugins.items():
            self.files |= _files(folder, f"plugins/{name}/")
        together = "".join(f"{name} {asset.digest}\n" for name, asset in self.files.items())
        self.digest = _digest(together.encode())

    def url(self, name: str) -> str:
        """Return the path of a file on this site; `KeyError` if there is none of this name."""
        if name not in self.files:
            raise KeyError(name)
        return f"/static/{self.digest}/{name}"

    async def answer(self, request: Request) -> Response:
        """Answer with a file."""
        found = self.files.get(request.path_params["path"])
        if found is None:
            raise HTTPException(404, "there is no such file")
        current = request.path_params["digest"] == self.digest
        headers = {
            "ETag": f'"{found.digest}"',
            "Cache-Control": _FOREVER if current else _ASK,
            "Vary": "Accept-Encoding",
            "Content-Security-Policy": _WORKER,
            "Cross-Origin-Resource-Policy": "same-origin",
        }
        if has_version(request, found.digest):
            return Response(status_code=304, headers=headers)
        body = found.plain
        if "gzip" in request.headers.get("accept-encoding", ""):
            packed = await asyncio.to_thread(lambda: found.packed)
            if packed is not None:
                body, headers["Content-Encoding"] = packed, "gzip"
        return Response(body, headers=headers, media_type=found.media_type)


def _files(folder: Path, prefix: str = "") -> dict[str, Asset]:
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {prefix + path.relative_to(folder).as_posix(): _asset(path) for path in found}


def _asset(path: Path) -> Asset:
    plain = path.read_bytes()
    kind = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0]
    is_text = path.suffix in _TEXT
    return Asset(plain, is_text, kind or "application/octet-stream", _digest(plain))


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=8).hexdigest()
