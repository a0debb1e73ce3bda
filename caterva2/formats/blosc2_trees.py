"""The layout of python-blosc2's containers: which objects are leaves, attributes and internals.

A tree (``.b2d`` directory, ``.b2z`` zip) has a frame for each leaf, the attributes of each group in
``__vlmeta__.b2f``, and smaller leaves embedded in ``embed.b2e``. A table is a group with the
manifest ``_meta.b2f``, a mask of the rows that are not deleted, and its columns below ``_cols``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from caterva2.errors import SourceCorrupt
from caterva2.limits import constants

EMBEDDED = "embed.b2e"
ATTRIBUTES = "__vlmeta__.b2f"
MANIFEST = "_meta.b2f"
SPARSE = "chunks.b2frame"
"""The file of a sparse frame that has all but its chunks."""
MARKS = frozenset((EMBEDDED, ATTRIBUTES, MANIFEST))
"""Names of which a tree has one at its top."""
ARRAY, FRAME, BATCHES = ".b2nd", ".b2f", ".b2b"
_ROWS, _TABLE_ATTRIBUTES, _COLUMNS = "_valid_rows.b2nd", "_vlmeta.b2f", "_cols/"
_TEXT, _WORDS = ".utf8" + ARRAY, "_dict" + BATCHES
"""Endings of what a column of text of variable length, or of words by number, also has."""
VARIABLE = "has items of variable length, which are not served"


@dataclass(frozen=True, slots=True)
class Table:
    """The objects of a table: its manifest, and the mask of its rows."""

    manifest: str
    rows: str


@dataclass(slots=True)
class Tree:
    """What the objects of a tree are.

    Attributes
    ----------
    leaves : dict
        Keys of frames by the paths of their datasets.
    attributes : dict
        Keys of frames with attributes by their groups.
    tables : dict
        By their groups.
    files : list of str
        Keys of what belongs to no tree.
    refused : dict
        Reasons by the keys of what is left out.
    """

    leaves: dict[str, str] = field(default_factory=dict)
    attributes: dict[str, str] = field(default_factory=dict)
    tables: dict[str, Table] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)

    @property
    def groups(self) -> set[str]:
        """The groups that are described."""
        return {*self.attributes, *self.tables}

    def described_by(self, group: str) -> list[str]:
        """Return the keys of the frames that describe a group."""
        keys = [self.attributes[group]] if group in self.attributes else []
        return [*keys, self.tables[group].manifest] if group in self.tables else keys


class _Column(BaseModel):
    model_config = ConfigDict(extra="ignore", defer_build=True)
    name: Annotated[str, Field(min_length=1, max_length=constants.PATH_LENGTH)]


class Schema(BaseModel):
    """What a manifest says of a table: its columns in their order, and the rows not deleted."""

    model_config = ConfigDict(extra="ignore", defer_build=True)
    columns: Annotated[list[_Column], Field(max_length=constants.TABLE_COLUMNS)]
    n_rows: Annotated[int, Field(ge=0, lt=2**63)] | None = None

    @classmethod
    def parse(cls, text: object) -> Schema:
        """Return the schema in a manifest.

        Raises
        ------
        SourceCorrupt
            If it can't be read.
        """
        if not isinstance(text, str):
            raise SourceCorrupt("its manifest has no schema")
        try:
            return cls.model_validate(json.loads(text))
        except (ValidationError, ValueError, RecursionError) as error:
            reason = str(error).splitlines()[0][:200]
            raise SourceCorrupt(f"its schema can't be read: {reason}") from None


def arranged(keys: Iterable[str]) -> Tree:
    """Return what the objects of a tree are, by their keys."""
    made = Tree()
    known = _without_sparse(set(keys), made.refused)
    for key in known:
        folder, _, name = key.rpartition("/")
        if name == MANIFEST and _within(folder, _ROWS) in known:
            made.tables[folder] = Table(key, _within(folder, _ROWS))
    for key in sorted(known):
        table = next((each for each in _folders(key) if each in made.tables), None)
        if table is not None:
            _note_in_table(made, known, table, key)
        elif key.rpartition("/")[2] == ATTRIBUTES:
            made.attributes[key.rpartition("/")[0]] = key
        elif key != EMBEDDED:
            _note(made, key, key)
    return made


def _without_sparse(keys: set[str], refused: dict[str, str]) -> set[str]:
    """Return the keys without those of sparse frames, of which trees have none."""
    found = {key.removesuffix("/" + SPARSE) for key in keys if key.endswith("/" + SPARSE)}
    refused |= dict.fromkeys(found, "is a sparse frame, which python-blosc2 reads from no tree")
    return {key for key in keys if found.isdisjoint(_folders(key))} if found else keys


def _note_in_table(made: Tree, known: set[str], table: str, key: str) -> None:
    name = key[len(table) + 1 if table else 0 :]
    if name in (_TABLE_ATTRIBUTES, ATTRIBUTES):
        made.attributes[table] = key
    if not name.startswith(_COLUMNS):
        return  # the manifest, the mask or an index
    column = key.removesuffix(ARRAY)
    parts = [column + _TEXT, column + _WORDS]
    if key.endswith(_TEXT) or not known.isdisjoint(parts):
        made.refused[key] = VARIABLE
    else:
        _note(made, _within(table, name.removeprefix(_COLUMNS)), key)


def _note(made: Tree, path: str, key: str) -> None:
    if path.endswith(ARRAY):
        made.leaves[path] = key
    elif path.endswith(FRAME):
        made.leaves[path.removesuffix(FRAME) + ".b2frame"] = key
    elif path.endswith(BATCHES):
        made.refused[key] = VARIABLE
    else:
        made.files.append(key)


def _within(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _folders(key: str) -> Iterator[str]:
    """Yield the folders that a key lies in, the innermost first."""
    while key:
        key = key.rpartition("/")[0]
        yield key
