"""Tables in notebooks: the roots of a subscriber, and what lies right below a directory."""

from __future__ import annotations

import html
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from caterva2.client.display import ArrayDescription, FileDescription, human
from caterva2.client.groups import level
from caterva2.client.transport import Transport
from caterva2.client.types import RemotePath
from caterva2.errors import CatervaError
from caterva2.runtime.printable import printable

SHOWN = 100
"""Rows of a table."""
SIZED = 20
"""Roots whose size is requested."""
PAGE = 1000
"""Files up to which one request describes everything below a directory."""


class Listed(Protocol):
    """The part of a client that tables need."""

    @property
    def transport(self) -> Transport: ...
    @property
    def urlbase(self) -> str: ...
    def get_roots(self) -> dict[str, dict[str, Any]]: ...
    def get_info(self, path: RemotePath) -> dict[str, Any]: ...
    def get_list(self, path: RemotePath) -> list[str]: ...


def of_roots(client: Listed) -> str:
    """Return the roots of a subscriber as HTML, with sizes of those that are followed."""

    def rows() -> Iterable[Sequence[object]]:
        left = SIZED
        for name, root in sorted(client.get_roots().items()):
            state = "offline" if root.get("offline") else root.get("http", "")
            size: Sequence[object] = ("", "")
            if root.get("subscribed") and not root.get("offline") and left:
                left -= 1
                size = _size_of_root(client, name)
            yield (name, state, "yes" if root.get("subscribed") else "", *size)

    header = ("root", "publisher", "subscribed", "files", "stored")
    return _shown("Client", client.urlbase, header, rows)


def _size_of_root(client: Listed, name: str) -> Sequence[object]:
    try:
        meta = client.get_info(name)
        return meta["nfiles"], human(int(meta["size"]))
    except (CatervaError, KeyError):  # one row less is known
        return "", ""


def of_directory(client: Listed, kind: str, path: str) -> str:
    """Return what lies right below a directory as HTML, with sizes."""

    def rows() -> Iterable[Sequence[object]]:
        listing = client.get_list(path)
        files = level.names(listing)
        sizes: dict[str, int] = {}
        if len(listing) <= PAGE:
            for full, meta in next(level.pages(client.transport, path), {}).items():
                name = full.partition("/")[0]
                sizes[name] = sizes.get(name, 0) + _stored(meta)
        for name, meta_of in level.described(client.transport, path, listing):
            if meta_of is None:
                size = human(sizes[name]) if name in sizes else ""
                yield f"{name}/", f"{files[name]} files", "", "", size
            else:
                yield _row(f"{path}/{name}", name, meta_of)

    return _shown(kind, path, ("name", "kind", "shape", "dtype", "stored"), rows)


def _stored(meta: Mapping[str, Any]) -> int:
    return 0 if "error" in meta else int(meta.get("schunk", meta)["cbytes"])


def _row(path: str, name: str, meta: dict[str, Any]) -> Sequence[object]:
    if "error" in meta:
        return name, "unreadable", "", "", ""
    if "shape" not in meta:
        known = FileDescription(path, meta)
        return name, known.kind, "", "", human(known.cbytes)
    array = ArrayDescription(path, meta)
    stored = "computed" if array.expression else human(array.cbytes)
    return name, array.kind, array.shape, array.dtype, stored


def _shown(kind: str, name: str, header: Sequence[str], rows: Any) -> str:
    """Return a table as HTML, or the error instead of it."""
    title = f"<b>{html.escape(kind)}</b> {html.escape(printable(name))}"
    try:
        first = list(itertools.islice(rows(), SHOWN + 1))
    except CatervaError as error:
        return f"{title}: {html.escape(printable(str(error)))}"
    made = [_cells("th", header), *(_cells("td", row) for row in first[:SHOWN])]
    if len(first) > SHOWN:
        made.append("<tr><td>...</td></tr>")
    return f"{title}<table>{''.join(made)}</table>"


def _cells(tag: str, row: Sequence[object]) -> str:
    cells = (html.escape(printable(str(cell))) for cell in row)
    return "<tr>" + "".join(f"<{tag} style='text-align:left'>{c}</{tag}>" for c in cells) + "</tr>"
