"""Who reads which root by which call, at each hop that its data takes: a matrix without a leak"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import caterva2
from caterva2.client.errors import HttpError, Unreachable
from caterva2.client.login import SessionTransport
from caterva2.client.tokens import TokenTransport
from caterva2.client.transport import Transport
from caterva2.depot.transport import CachingTransport
from tests.client.line import Line
from tests.conftest import Stack, eventually
from tests.scenario.hops import READERS, USERS, WHO, Hops, may, missing
from tests.thoroughness import some, thorough
from tests.web.accountworld import READING, ROOTS, WORD

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())
SERVED = ROOTS if thorough() else ("anns", "theirs")
"""Restricted by settings, and by the publisher."""
CALLS = (
    *((method, target, "") for method, target in READING),
    ("GET", "zarr2/{root}/ds-1d/.zarray", ""),
    ("GET", "zarr/{root}/ds-1d/c/0", ""),
    ("POST", "api/compute", '{{"expression": "a + 1", "operands": {{"a": "{root}/ds-1d.b2nd"}}}}'),
)  # fmt: skip
READS: dict[str, Callable[[caterva2.Client, str], Any]] = {
    "list": lambda client, root: list(client[root]),
    "values": lambda client, root: client[f"{root}/ds-1d.b2nd"][3:5],
    "describe": lambda client, root: client[f"{root}/dir1/ds-2d.b2nd"].shape,
    "file": lambda client, root: client[f"{root}/README.md"][:10],
}
"""Reads of a client with a cache."""


@pytest.fixture(scope="module")
def hops(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hops]:
    made = Hops(Stack(tmp_path_factory.mktemp("hops")), SERVED)
    try:
        made.start()
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("hop", READERS)
def test_a_root_is_for_its_readers_alone_by_every_call(hops: Hops, hop: str) -> None:
    """All others get the answer for a root that does not exist."""
    for method, target, body in some(CALLS, 5, 3):
        for who in WHO:
            unknown = hops.ask(hop, who, *_call(method, target, body, "nowhere"))
            for root in SERVED:
                answer = hops.ask(hop, who, *_call(method, target, body, root))
                if may(hop, root, who):
                    none = "prefetch" in target and answer.status == 404
                    assert none or answer.status in (200, 202), (who, root, target, answer.body)
                else:
                    named = unknown.body.replace(b"nowhere", root.encode())
                    assert (answer.status, answer.body) == (unknown.status, named), (who, root)
                    assert answer.status >= 400


def _call(method: str, target: str, body: str, root: str) -> tuple[str, str, str]:
    return target.format(root=root), method, body.format(root=root) if body else ""


@pytest.mark.parametrize("hop", READERS)
def test_no_root_is_listed_counted_or_found_for_others(hops: Hops, hop: str) -> None:
    for who in WHO:
        seen = {root for root in SERVED if may(hop, root, who)}
        listed = hops.ask(hop, who, "api/roots").json
        assert {name for name in listed if not name.startswith("@")} == seen, who
        assert hops.ask(hop, who, "healthz").json["roots"] == len(seen)
        status = hops.ask(hop, who, "api/status").json
        assert {one["name"] for one in status["roots"]} == seen
        found = hops.ask(hop, who, "api/search/?q=ds-1d.b2nd").json["found"]
        assert {name.partition("/")[0] for name in found} <= seen


@pytest.mark.parametrize(("hop", "mirrors"), [("lab", 0), ("near", 1), ("far", 2), ("home", 1)])
def test_data_takes_the_hops_that_are_meant(hops: Hops, hop: str, mirrors: int) -> None:
    def way() -> list[str]:
        roots = hops.ask(hop, "ann", "api/status").json["roots"]
        found: list[str] = next(one["way"]["path"] for one in roots if one["name"] == "theirs")
        return found

    eventually(lambda: len(way()) == mirrors)


@pytest.mark.filterwarnings("ignore::caterva2.OfflineWarning")
def test_a_clients_cache_shows_no_user_what_another_one_read(hops: Hops, tmp_path: Path) -> None:
    """Of one machine, with the network and without it."""
    for who in WHO:
        line = Line(hops.urls["near"])
        kept = CachingTransport(_transport(hops, who, line), tmp_path, 0)
        client = caterva2.Client.over(kept)
        for cut in (False, True):
            line.cut = cut
            for root in SERVED:
                for name, read in READS.items():
                    if may("near", root, who):
                        assert len(read(client, root)), (who, root, name)
                    else:
                        with pytest.raises((HttpError, Unreachable)):
                            read(client, root)
        line.close()


def _transport(hops: Hops, who: str, line: Line) -> Transport:
    if who in USERS:
        return SessionTransport(line, (USERS[who], WORD))
    return TokenTransport(line, hops.tokens["near"]) if who == "ann's narrow" else line
