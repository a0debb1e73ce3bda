"""What does not exist names the dataset that may be meant, and costs little in any root"""

from __future__ import annotations

import time

import pytest

from caterva2.model.missing import COMPARED, LONGEST, missing
from caterva2.names import DatasetPath

KNOWN = {DatasetPath(one): None for one in ("t2m.b2nd", "dir/wind.b2frame", "store.zarr", "notes")}


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("t2m", "t2m.b2nd"), ("dir/wind", "dir/wind.b2frame"), ("notes.b2nd", "notes"),
        ("t2n.b2nd", "t2m.b2nd"), ("Dir/wind.b2frame", "dir/wind.b2frame"), ("wave", ""),
        ("t" * 1000, ""),
    ],
)  # fmt: skip
def test_the_path_that_may_be_meant_is_named(path: str, meant: str) -> None:
    hint = f"; did you mean foo/{meant}?" if meant else ""
    assert missing("foo", path, KNOWN).detail == f"foo/{path} does not exist{hint}"


def test_paths_of_a_large_root_are_not_compared() -> None:
    many = {DatasetPath(f"{n}.b2nd"): None for n in range(COMPARED)} | KNOWN
    assert "did you mean foo/t2m.b2nd?" in missing("foo", "t2m", many).detail
    assert "did you mean" not in missing("foo", "t2n.b2nd", many).detail


def test_names_that_are_made_to_be_compared_cost_little() -> None:
    alike = {DatasetPath("a" * 2 * LONGEST + f"{n:03d}"): None for n in range(COMPARED // 2)}
    alike |= {DatasetPath("a" * (LONGEST + 20) + f"{n:03d}"): None for n in range(COMPARED // 2)}
    before = time.thread_time()
    assert "did you mean foo/aaa" in missing("foo", "a" * LONGEST, alike).detail
    assert time.thread_time() - before < 0.1  # as long as no other request is answered
