"""The list of admitted keys: what each line grants, and that a wrong one admits nobody"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from caterva2.errors import ConfigError, StartError
from caterva2.wire.auth import allow_list, list_file
from caterva2.wire.auth.allow_list import AllowList
from caterva2.wire.auth.list_file import FollowedList
from caterva2.wire.auth.policy import Grant, Role

A, B = "a" * 64, "b" * 64


def admitted(text: str) -> set[str]:
    return set(AllowList.parse(text).grants)


def test_a_line_grants_a_role_for_roots() -> None:
    found = AllowList.parse(f"# site B\n\n  site-b {A} read lab-*,climate\npub {B} both *\n")
    assert found.problems == ()
    assert found.grant(A) == Grant("site-b", Role.READ, ("lab-*", "climate"))
    assert (found.holder(B), found.holder("c" * 64), found.grant("")) == ("pub", "", None)


@pytest.mark.parametrize(
    ("role", "root", "covered"),
    [
        (Role.READ, "climate", True), (Role.READ, "lab-1", True), (Role.READ, "climate2", False),
        (Role.READ, "xlab-1", False), (Role.PUBLISH, "climate", False),
        (Role.ANY, "climate", False),
    ],
)  # fmt: skip
def test_a_grant_covers_its_roots_in_its_role(role: Role, root: str, covered: bool) -> None:
    assert Grant("x", Role.READ, ("lab-*", "climate")).covers(role, root) is covered


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (f"x {A} read", "3 words"),
        (f"x {A} read a b", "5 words"),
        (f"-x {A} read *", "'-x' is not a name"),
        (f"x {A[1:]} read *", "not a public key"),
        (f"x {A.upper()} read *", "not a public key"),
        (f"x {A} write *", "role 'write': write read, publish, both or mirror"),
        (f"x {A} read a,,b", "'' names no roots"),
        (f"x {A} read [a]", "'[a]' names no roots"),
    ],
)
def test_a_wrong_line_is_named_and_admits_nobody(line: str, why: str) -> None:
    found = AllowList.parse(f"\n{line}\ny {B} read *\n")
    assert set(found.grants) == {B}
    (problem,) = found.problems
    assert problem.startswith("line 2: ")
    assert why in problem


def test_a_key_with_two_lines_is_not_admitted_by_either() -> None:
    found = AllowList.parse(f"x {A} read climate\nx {A} both *\ny {B} read *\n")
    assert set(found.grants) == {B}
    assert found.problems == (f"line 2: key {A} has another line: none of them counts",)


def test_lines_are_added_and_removed_beside_comments() -> None:
    text = allow_list.with_line(f"# ours\ny {B} read *", f"x {A} read *")
    assert text == f"# ours\ny {B} read *\nx {A} read *\n"
    assert allow_list.without(text, "y") == (f"# ours\nx {A} read *\n", 1)
    assert allow_list.without(text, A) == (f"# ours\ny {B} read *\n", 1)
    assert allow_list.without(text, "read") == (text, 0)
    with pytest.raises(ConfigError, match="on the list already"):
        allow_list.with_line(text, f"other {A} both *")


def test_a_list_is_read_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "allowed"
    path.write_text(f"x {A} read *\n")
    found = FollowedList(path)
    assert not found.look()
    list_file.change(path, lambda text: allow_list.with_line(text, f"y {B} read *"))
    assert found.look()
    assert found.holder(B) == "y"
    assert path.stat().st_mode & 0o777 == 0o644
    list_file.change(path, lambda text: allow_list.without(text, "x")[0])
    assert found.look()
    assert found.grant(A) is None


def test_a_list_that_is_written_in_place_counts_when_it_rests(tmp_path: Path) -> None:
    path = tmp_path / "allowed"
    path.write_text(f"x {A} read *\ny {B} read *\n")
    found = FollowedList(path)
    path.write_text("")
    assert not found.look()
    path.write_text(f"y {B} read *\n")
    assert not found.look()
    assert found.holder(A) == "x"
    assert found.look()
    assert (found.grant(A), found.holder(B)) == (None, "y")


def test_no_error_admits_more_than_before(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "allowed"
    path.write_text(f"x {A} read climate\n")
    found = FollowedList(path)
    other = tmp_path / "other"
    for content, mode, said in [
        (f"y {B} read *\n", 0o664, "others can change it: chmod go-w"),
        ("x" * (2**20 + 1), 0o644, "more than 1048576 bytes"),
    ]:
        other.write_text(content)
        other.chmod(mode)
        os.replace(other, path)
        assert not found.look()
        assert said in caplog.text
        assert (found.holder(A), found.grant(B)) == ("x", None)
    path.unlink()
    assert not any(found.look() for _ in range(2))
    assert "is gone: the list of before stays in force" in caplog.text
    path.write_text(f"x {A} read climate,\ny {B} read *\n")
    assert found.look()
    assert "line 1: '' names no roots" in caplog.text
    assert (found.grant(A), found.holder(B)) == (None, "y")


@pytest.mark.parametrize("content", [None, f"x {A} rd *\n"])
def test_a_service_does_not_start_with_a_list_that_is_wrong(
    tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "allowed"
    if content is not None:
        path.write_text(content)
    with pytest.raises((StartError, ConfigError), match=r"not there|line 1: role 'rd'"):
        FollowedList(path)
