"""A publisher's ledger, and what it sends to copies of its catalog."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from caterva2.limits import DEFAULTS
from caterva2.model import Entry
from caterva2.names import DatasetPath, RootName
from caterva2.sources.catalog import Ledger, Step
from caterva2.subscriber.catalog.copy import CatalogCopy
from caterva2.wire.messages import Catalog, Change, RootBeat

Found = dict[DatasetPath, Entry]


def entry_of(path: str, etag: str = "1") -> Entry:
    return Entry(path=DatasetPath(path), kind="file", etag=etag, size=1, mtime=0.0)


def files_of(*paths: str, etag: str = "1") -> Found:
    return {DatasetPath(path): entry_of(path, etag) for path in paths}


def note_of(step: Step, inst: str = "i") -> Change:
    fields = {} if step.entry is None else step.entry.fields()
    return Change.model_validate(
        {"root": "foo", "inst": inst, "fence": 1, "rev": step.rev, "path": step.path}
        | {"op": "put" if step.entry else "delete"}
        | fields
    )


def beat_of(rev: int, inst: str = "i") -> RootBeat:
    return RootBeat(root=RootName("foo"), inst=inst, fence=1, rev=rev)


def pages_of(ledger: Ledger, since: int, inst: str = "i") -> Iterator[Catalog]:
    page = ledger.page(1, inst, since, "")
    yield page
    while page.cursor:
        page = ledger.page(1, inst, since, page.cursor)
        yield page


def synchronise(copy: CatalogCopy, ledger: Ledger, inst: str = "i") -> set[DatasetPath]:
    return copy.take(pages_of(ledger, copy.since(inst), inst))


SMALL_PAGES = replace(DEFAULTS.publisher, catalog_page=3)
