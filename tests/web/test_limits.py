"""Limits of ``caterva2.toml`` hold in the web application."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import Stack, example_root
from tests.web.asking import ask

LIMITS = """
[limits.web]
ranges = 2
members = 3
form_bytes = 100
body_bytes = 100
[limits.cache]
output_chunks = 1
"""


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    made = Stack(tmp_path_factory.mktemp("limited"))
    (made.directory / "caterva2.toml").write_text(LIMITS)
    try:
        made.start(foo=example_root())
        yield made
    finally:
        made.stop_all()


def test_ranges(limited: Stack) -> None:
    answer = ask(limited, "api/download/foo/README.md", Range="bytes=0-0,1-1,2-2")
    assert (answer.status, answer.json["detail"]) == (416, "more ranges than RANGES, 2")


def test_members(limited: Stack) -> None:
    first = ask(limited, "api/members/foo").json
    assert len(first["members"]) == 3
    assert first["after"] == list(first["members"])[-1]


def test_bodies(limited: Stack) -> None:
    answer = ask(limited, "api/fetch/foo/README.md", "POST", b" " * 101)
    assert (answer.status, answer.json["detail"]) == (
        413,
        "the body is larger than BODY_BYTES, 100",
    )


def test_chunks_of_a_slice(limited: Stack) -> None:
    answer = ask(limited, "api/fetch/foo/ds-1d.b2nd?slice_=90:110")
    assert answer.status == 413
    assert "OUTPUT_CHUNKS is 1" in answer.json["detail"]
