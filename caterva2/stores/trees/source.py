"""A tree of python-blosc2 (``.b2d``, ``.b2z`` or ``.b2e``): leaves, attributes and tables."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from caterva2.errors import BadName, BadRequest, CatervaError, NotFound, SourceCorrupt
from caterva2.formats import blosc2_trees
from caterva2.formats.blosc2_trees import EMBEDDED, Schema, Tree
from caterva2.frames import attributes, metadata
from caterva2.frames.raw import Cut, Run
from caterva2.frames.reader import FrameReader
from caterva2.limits import DEFAULTS, PublisherLimits
from caterva2.model import DatasetInfo, Entry, Kind
from caterva2.names import GROUP, DatasetPath, group_path, is_group
from caterva2.runtime.printable import printable
from caterva2.sources.base import ALL, NEVER, Datasets
from caterva2.sources.kinds import group_info, is_hidden, kind_of
from caterva2.sources.layout import CPARAMS
from caterva2.stores.deadlines import bounded, until
from caterva2.stores.object_reader import Object, ObjectReader, etag_of
from caterva2.stores.store import ODD, Stamp, Store
from caterva2.stores.trees.embedded import EmbeddedStore

log = logging.getLogger(__name__)
LISTED = 2**18
"""Objects of a tree."""


@dataclass(frozen=True, slots=True)
class _Listed:
    """What a tree has: its objects by their keys, what these are, and what is served of it."""

    objects: dict[str, tuple[Store, Stamp]]
    tree: Tree
    served: dict[DatasetPath, Object] = field(default_factory=dict)
    entries: dict[DatasetPath, Entry] = field(default_factory=dict)

    def object(self, key: str, kind: Kind = "frame", path: str = "") -> Object:
        """Return the object of a key, as a dataset of a path; by default of its own."""
        store, stamp = self.objects[key]
        return Object(DatasetPath(path or key), kind, store, key, stamp)


@dataclass(frozen=True, slots=True)
class _Content:
    vlmeta: dict[str, bytes]
    attrs: dict[str, bytes]


class TreeFrames:
    """The frames that several trees read, and what was logged of them.

    Parameters
    ----------
    limits : PublisherLimits, optional
    """

    def __init__(self, limits: PublisherLimits = DEFAULTS.publisher) -> None:
        self.reader = ObjectReader(limits)
        self._told: dict[str, str] = {}

    def tell(self, path: str, what: str) -> None:
        """Log a fact about a path once."""
        if self._told.get(path) != what:
            self._told[path] = what
            log.warning("%s", printable(f"{path} {what}"))


class TreeSource(Datasets):
    """Serves the leaves of a tree as they are stored.

    Parameters
    ----------
    store : Store
        Its objects; closed with this source.
    name : str
        For the log.
    frames : TreeFrames
    plugged : Datasets, optional
        Reads the chunks of leaves that need plugins of Blosc2, else these are left out.
    """

    def __init__(
        self, store: Store, name: str, frames: TreeFrames, plugged: Datasets | None = None
    ) -> None:
        self._plugged = plugged
        self._name = name
        self._frames = frames
        self._reader = frames.reader
        self._stores = store, embedded_in(store, EMBEDDED, self._reader)
        self._known: _Listed | None = None

    def close(self) -> None:
        self._stores[0].close()

    # --- listing ---

    def scan(self, scope: str = ALL) -> dict[DatasetPath, Entry]:
        self._known = self._list(self._known)
        below = scope + "/"
        return {
            path: entry
            for path, entry in self._known.entries.items()
            if not scope or path == scope or path.startswith(below)
        }

    def _list(self, former: _Listed | None) -> _Listed:
        objects = self._objects()
        made = _Listed(objects, blosc2_trees.arranged(objects))
        for key, reason in made.tree.refused.items():
            self._tell(key, f"is left out: it {reason}")
        shown = dict(made.tree.leaves)
        for group, table in made.tree.tables.items():
            if self._has_deleted_rows(made, table):
                shown[f"{group}/{table.rows}".removeprefix("/")] = table.rows
        shown |= {key: key for key in made.tree.files}
        for path, key in shown.items():
            self._serve(made, former, path, key)
        for group in made.tree.groups:
            self._describe(made, group)
        return made

    def _objects(self) -> dict[str, tuple[Store, Stamp]]:
        """Return all objects by their keys; one that is embedded too is not that one."""
        found: dict[str, tuple[Store, Stamp]] = {}
        self._add(found, self._stores[0])
        if EMBEDDED in found:
            try:
                self._add(found, self._stores[1])
            except SourceCorrupt as error:
                self._tell(EMBEDDED, f"is left out: {error.detail}")
        return found

    def _add(self, found: dict[str, tuple[Store, Stamp]], store: Store) -> None:
        for key, stamp in store.below("", lambda name: not is_hidden(name)):
            if is_hidden(key):
                continue
            if stamp.text == ODD:
                self._tell(key, "is left out: it is a link or a device")
                continue
            found.setdefault(key, (store, stamp))
            if len(found) > LISTED:
                raise SourceCorrupt(f"it has more than {LISTED} leaves")
        for key, reason in store.refused.items():
            self._tell(key, f"is left out: it {reason}")

    def _serve(self, made: _Listed, former: _Listed | None, text: str, key: str) -> None:
        """Add a dataset to what is served, unless it is damaged."""
        try:
            path = DatasetPath(text)
            found = made.object(key, kind_of(path), path)
            known = former.served.get(path) if former is not None else None
            if found.kind != "file" and (known is None or known.listed != found.listed):
                self._reader.check(found, plugins=self._plugged is not None)
        except CatervaError as error:
            self._tell(text, f"is left out: {error.detail}")
            return
        _, stamp = made.objects[key]
        made.served[path] = found
        made.entries[path] = Entry(path, found.kind, etag_of(path, stamp), stamp.size, stamp.mtime)

    def _describe(self, made: _Listed, group: str) -> None:
        try:
            path = group_path(group)
        except BadName as error:
            self._tell(group, f"is not described: {error.detail}")
            return
        stamps = [made.objects[key][1] for key in made.tree.described_by(group)]
        made.entries[path] = Entry(path, "group", _etag(path, stamps), 0, _mtime(stamps))

    def _has_deleted_rows(self, made: _Listed, table: blosc2_trees.Table) -> bool:
        """Return whether columns of a table can't be read without the mask of its rows."""
        try:
            count = self._schema(self._reader.frame(made.object(table.manifest))[0]).n_rows
            rows = self._reader.info(made.object(table.rows, "array")).shape
        except CatervaError as error:
            self._tell(table.manifest, f"can't be read: {error.detail}")
            return True
        return rows != (count,)

    def _tell(self, path: str, what: str) -> None:
        self._frames.tell(f"{self._name}/{path.lstrip('/')}", what)

    # --- reading ---

    def _listed(self) -> _Listed:
        if self._known is None:
            self._known = self._list(None)
        return self._known

    def _object(self, path: DatasetPath) -> Object:
        found = self._listed().served.get(path)
        if found is None:
            raise NotFound(f"{path} does not exist")
        return found

    def info(self, path: DatasetPath, deadline: float = NEVER) -> DatasetInfo:
        with until(deadline):
            if is_group(path):
                return self._group(path)
            return self._reader.info(self._object(path), CPARAMS if self._plugged else None)

    def _group(self, path: DatasetPath) -> DatasetInfo:
        """Describe a group by the frames with its attributes and its manifest."""
        listed, group = self._listed(), path.removesuffix(GROUP).rstrip("/")
        if group not in listed.tree.groups:
            raise NotFound(f"{path} does not exist")
        keys = listed.tree.described_by(group)
        read = {key: self._reader.frame(listed.object(key)) for key in keys}
        stamps = [stamp for _, stamp in read.values()]
        attrs, table = dict[str, bytes](), Schema(columns=[])
        if (key := listed.tree.attributes.get(group)) is not None:
            attrs = _attributes(read[key][0])
        if (found := listed.tree.tables.get(group)) is not None:
            table = self._schema(read[found.manifest][0])
        columns = tuple(column.name for column in table.columns)
        try:
            return group_info(
                path, _etag(path, stamps), _mtime(stamps), attrs, columns, table.n_rows
            )
        except ValueError as error:
            raise SourceCorrupt(f"{path} can't be described: {error}") from None

    def _schema(self, frame: FrameReader) -> Schema:
        packed = frame.vlmeta().get("schema", b"\xc0")
        return Schema.parse(metadata.decode(packed))

    def chunks(
        self, path: DatasetPath, etag: str, ids: Sequence[int], deadline: float = NEVER
    ) -> Iterator[Run]:
        plugged = self._plugged_for(path, etag)
        if plugged is None:
            yield from bounded(self._reader.runs(self._object(path), etag, ids), deadline)
        else:
            yield from plugged.chunks(path, etag, ids, deadline)

    def blocks(
        self, path: DatasetPath, etag: str, n: int, ids: Sequence[int], deadline: float = NEVER
    ) -> Cut:
        plugged = self._plugged_for(path, etag)
        if plugged is not None:
            return plugged.blocks(path, etag, n, ids, deadline)
        with until(deadline):
            return self._reader.blocks(self._object(path), etag, n, ids)

    def _plugged_for(self, path: DatasetPath, etag: str) -> Datasets | None:
        """Return what reads the chunks of a leaf if it needs plugins."""
        needed = self._plugged is not None and self.frame(path, etag).needs_plugins
        return self._plugged if needed else None

    def frame(self, path: DatasetPath, etag: str) -> FrameReader:
        """Return a version of a leaf."""
        return self._reader.frame(self._object(path), etag)[0]

    def lists(self, path: DatasetPath, etag: str) -> bool:
        """Return whether a version of a leaf was listed last."""
        entry = self._listed().entries.get(path)
        return entry is not None and entry.etag == etag

    def read_bytes(
        self, path: DatasetPath, etag: str, start: int, stop: int, deadline: float = NEVER
    ) -> Iterator[bytes]:
        found = self._object(path)
        if found.kind != "file":
            raise BadRequest(f"{path} has chunks, not bytes")
        yield from bounded(self._reader.pieces(found, etag, start, stop), deadline)


def embedded_in(store: Store, key: str, reader: ObjectReader) -> EmbeddedStore:
    """Return the leaves in a frame of a store."""
    return EmbeddedStore(lambda: reader.frame(Object(DatasetPath(key), "frame", store, key, None)))


def _etag(path: str, stamps: Sequence[Stamp]) -> str:
    return etag_of(path, Stamp("\n".join(stamp.text for stamp in stamps), 0, 0.0))


def _mtime(stamps: Sequence[Stamp]) -> float:
    return max(stamp.mtime for stamp in stamps)


def _attributes(frame: FrameReader) -> dict[str, bytes]:
    forms = attributes.forms(_Content(frame.vlmeta(), {}))
    return {name: attributes.packed(form) for name, form in forms.items()}
