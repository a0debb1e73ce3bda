"""All datasets of a root or directory, described in one answer."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import pytest

import caterva2
from tests.conftest import Stack, eventually, example_root
from tests.web.asking import ask


def test_members_are_described_as_info_describes_them(shared_stack: Stack) -> None:
    answer = ask(shared_stack, "api/members/foo").json
    assert answer["after"] is None
    names = ask(shared_stack, "api/list/foo").json
    assert list(answer["members"]) == names
    for name in names:
        info = ask(shared_stack, f"api/info/foo/{name}").json
        del info["cached"]
        assert answer["members"][name] == info


def test_members_of_a_directory_are_named_relative_to_it(shared_stack: Stack) -> None:
    members = ask(shared_stack, "api/members/foo/dir1").json["members"]
    assert list(members) == ["ds-2d.b2nd", "ds-3d.b2nd"]
    assert list(ask(shared_stack, "api/members/foo/dir1/ds-2d.b2nd").json["members"]) == [
        "ds-2d.b2nd"
    ]


def test_entries_are_one_level_with_sizes_and_versions(shared_stack: Stack) -> None:
    answer = ask(shared_stack, "api/entries/foo").json
    assert answer["own"] is None
    found = answer["entries"]
    assert [name for name in found if found[name]["kind"] == "group"] == ["dir1", "dir2"]
    members = ask(shared_stack, "api/entries/foo/dir1").json["entries"]
    assert found["dir1"]["size"] == sum(one["size"] for one in members.values())
    assert found["dir1"]["mtime"] == max(one["mtime"] for one in members.values())
    info = ask(shared_stack, "api/info/foo/dir1/ds-2d.b2nd").json
    size = (example_root() / "dir1/ds-2d.b2nd").stat().st_size
    expected = {key: info[key] for key in ("kind", "etag", "mtime")} | {"size": size}
    assert members["ds-2d.b2nd"] == expected
    own = ask(shared_stack, "api/entries/foo/dir1/ds-2d.b2nd").json
    assert own == {"own": expected, "entries": {}}
    for target, status in (("foo/dir", 404), ("nope", 404), ("foo/../x", 400), ("foo?x=1", 400)):
        assert ask(shared_stack, f"api/entries/{target}").status == status


def test_members_after_a_path(shared_stack: Stack) -> None:
    target = "api/members/foo/dir1?after=ds-2d.b2nd"
    assert list(ask(shared_stack, target).json["members"]) == ["ds-3d.b2nd"]
    assert ask(shared_stack, "api/members/foo/dir1?after=zzz").json["members"] == {}


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("foo/nothing", 404),
        ("nope", 404),
        ("foo/../x", 400),
        ("foo?after=../x", 400),
        ("foo?x=3", 400),
        ("foo?limit=0", 400),
        ("foo?limit=1001", 400),
        ("foo?limit=x", 400),
        ("foo?depth=2", 400),
        ("foo/nothing?depth=1", 404),
        ("foo?depth=1&after=../x", 400),
    ],
)
def test_members_of_an_unknown_path(shared_stack: Stack, target: str, status: int) -> None:
    assert ask(shared_stack, f"api/members/{target}").status == status


def test_roots_in_detail(stack: Stack, tmp_path: Path) -> None:
    source = tmp_path / "few"
    source.mkdir()
    values = np.random.default_rng(0).random(100_000)
    blosc2.asarray(values, urlpath=str(source / "a.b2nd"))
    size = (source / "a.b2nd").stat().st_size
    stack.start_services(few=source)
    eventually(lambda: "few" in ask(stack, "api/roots").json)

    def detail() -> Any:
        return ask(stack, "api/roots?detail=1").json["few"]["detail"]

    assert detail() is None
    stack.subscribe("few")
    found = detail()
    assert (found["datasets"], found["size"], found["state"]) == (1, size, "live")
    assert found["cached"] < size / 2
    assert found["heard"].endswith("Z")
    stack.client.fetch("few/a.b2nd")
    eventually(lambda: detail()["cached"] >= size)
    stack.client.unsubscribe("few")
    assert detail()["state"] == "stale"
    stack.subscribe("few")
    stack.stop("pub-few")
    eventually(lambda: detail()["state"] == "offline")
    assert detail()["datasets"] == 1
    plain = ask(stack, "api/roots").json
    assert plain["few"].keys() == {"name", "http", "subscribed", "offline"}
    assert ask(stack, "api/roots?detail=1").json["@public"]["detail"]["state"] == "live"
    assert ask(stack, "api/roots?detail=2").status == 400


def test_one_level_has_directories_and_datasets(shared_stack: Stack) -> None:
    answer = ask(shared_stack, "api/members/foo?depth=1").json
    every = ask(shared_stack, "api/members/foo").json["members"]
    sizes = ask(shared_stack, "api/entries/foo").json["entries"]
    assert answer["groups"] == {
        "dir1": {"datasets": 2, "size": sizes["dir1"]["size"]},
        "dir2": {"datasets": 1, "size": sizes["dir2"]["size"]},
    }
    assert answer["members"] == {path: one for path, one in every.items() if "/" not in path}
    assert answer["total"] == {"groups": 2, "datasets": len(answer["members"])}
    assert answer["after"] is None
    below = ask(shared_stack, "api/members/foo/dir1?depth=1").json
    assert list(below["members"]) == ["ds-2d.b2nd", "ds-3d.b2nd"]
    own = ask(shared_stack, "api/members/foo/dir1/ds-2d.b2nd?depth=1").json
    assert list(own["members"]) == ["ds-2d.b2nd"]


def test_pages_of_a_level_go_through_directories_and_datasets(shared_stack: Stack) -> None:
    whole = ask(shared_stack, "api/members/foo?depth=1").json
    found, after = list[str](), ""
    while after is not None:
        page = ask(shared_stack, f"api/members/foo?depth=1&limit=1&after={after}").json
        assert page["total"] == whole["total"]
        found += [*page["groups"], *page["members"]]
        after = page["after"]
    assert found == [*whole["groups"], *whole["members"]]
    assert len(ask(shared_stack, "api/members/foo?limit=2").json["members"]) == 2


def test_a_level_follows_changes_and_stays_when_its_publisher_goes(
    stack: Stack, tmp_path: Path
) -> None:
    source = tmp_path / "few"
    (source / "d").mkdir(parents=True)
    blosc2.asarray(np.arange(5), urlpath=str(source / "d" / "a.b2nd"))
    blosc2.asarray(np.arange(5), urlpath=str(source / "b.b2nd"))
    client = stack.start(few=source)
    level = "api/members/few?depth=1"
    assert ask(stack, level).json["groups"]["d"]["datasets"] == 1
    blosc2.asarray(np.arange(7), urlpath=str(source / "d" / "c.b2nd"))
    eventually(lambda: ask(stack, level).json["groups"]["d"]["datasets"] == 2)
    (source / "d" / "a.b2nd").unlink()
    (source / "d" / "c.b2nd").unlink()
    eventually(lambda: ask(stack, level).json["groups"] == {})
    blosc2.asarray(np.arange(7), urlpath=str(source / "new.b2nd"))
    eventually(lambda: "new.b2nd" in client.get_list("few"))
    client.fetch("few/b.b2nd")
    stack.stop("pub-few")
    eventually(lambda: "warning" in ask(stack, level).headers)
    found = ask(stack, level).json["members"]
    assert list(found) == ["b.b2nd", "new.b2nd"]
    assert found["b.b2nd"]["shape"] == [5]


def test_large_root_is_opened_with_few_requests(stack: Stack, tmp_path: Path) -> None:
    source = tmp_path / "many"
    source.mkdir()
    frame = blosc2.asarray(np.arange(100)).to_cframe()
    for n in range(1005):
        (source / f"d{n:04}.b2nd").write_bytes(frame)
    (source / "broken.b2nd").write_bytes(b"not a frame")
    client = stack.start(many=source)
    first = ask(stack, "api/members/many").json
    assert (len(first["members"]), first["after"]) == (1000, "d0998.b2nd")
    members = client.get_members("many")
    assert sorted(members) == client.get_list("many")
    assert members["broken.b2nd"]["error"]["name"] == "source-corrupt"
    (source / "broken.b2nd").unlink()
    eventually(lambda: "broken.b2nd" not in client.get_list("many"))
    opened = dict(client.get("many").items())
    np.testing.assert_array_equal(opened["d1004.b2nd"][...], np.arange(100))
    stack.stop("pub-many")
    [requests] = re.findall(r"served (\d+) requests", stack.log("pub-many"))
    assert int(requests) < 15


def test_root_opens_its_files_and_datasets_together(shared_stack: Stack) -> None:
    root = shared_stack.client.get("foo")
    opened = dict(root.items())
    assert list(opened) == list(root)
    for path, found in opened.items():
        single = root[path]
        assert type(found) is type(single)
        assert (found.path, found.nbytes) == (single.path, single.nbytes)
    assert [found.path for found in root.values()] == [found.path for found in opened.values()]


def test_broken_dataset_is_named_when_it_is_read(stack: Stack, tmp_path: Path) -> None:
    source = tmp_path / "few"
    source.mkdir()
    (source / "broken.b2nd").write_bytes(b"not a frame")
    blosc2.asarray(np.arange(5), urlpath=str(source / "good.b2nd"), mode="w")
    opened = dict(stack.start(few=source).get("few").items())
    assert sorted(opened) == ["broken.b2nd", "good.b2nd"]
    np.testing.assert_array_equal(opened["good.b2nd"][:], np.arange(5))
    with pytest.raises(caterva2.HttpError, match=r"few/broken.b2nd"):
        opened["broken.b2nd"][:]
    blosc2.asarray(np.arange(7), urlpath=str(source / "new.b2nd"), mode="w")
    (source / "new.b2nd").rename(source / "broken.b2nd")
    eventually(lambda: "shape" in stack.client.get_members("few")["broken.b2nd"])
    np.testing.assert_array_equal(opened["broken.b2nd"][:], np.arange(7))
