"""Requests that cost too much are refused before the work begins."""

from __future__ import annotations

from pathlib import Path

import blosc2
import pytest

from tests.conftest import Stack
from tests.web.asking import ask


@pytest.fixture(scope="module")
def huge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An array of zeros: terabytes without storage."""
    root = tmp_path_factory.mktemp("root")
    blosc2.zeros((2**21, 2**10), dtype="f8", chunks=(2, 2**9), urlpath=str(root / "a.b2nd"))
    return root


def test_answer_has_a_size_and_a_number_of_chunks(stack: Stack, huge: Path) -> None:
    stack.start(foo=huge)
    for query, what in [
        ("slice_=:1000000", "OUTPUT_BYTES"),
        ("slice_=:,%20::512", "OUTPUT_CHUNKS"),
        ("indices=[null,[0,512]]", "OUTPUT_CHUNKS"),
        ("indices=[null,[0,512,513,514,515,516,517,518,519,520,521,522,523,524,525,526,527]]",
         "OUTPUT_BYTES"),
    ]:  # fmt: skip
        answer = ask(stack, f"api/fetch/foo/a.b2nd?{query}")
        assert (answer.status, answer.json["name"]) == (413, "too-large")
        assert what in answer.json["detail"]
    assert stack.metric("fetched_chunks_total") == 0
