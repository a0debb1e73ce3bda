"""Names below ``/zarr/``: roots, versions, keys of chunks, and names of arrays in a hierarchy"""

from __future__ import annotations

import pytest

from caterva2.errors import BadName, BadRequest
from caterva2.formats import zarr_names as names
from caterva2.formats.zarr_hierarchy import Hierarchy
from caterva2.model import Entry
from caterva2.names import DatasetPath, RootName


def entries(*paths: str) -> dict[DatasetPath, Entry]:
    kinds = {path: "array" if "b2nd" in path else "file" for path in paths}
    return {
        DatasetPath(path): Entry(DatasetPath(path), kind, "v", 1, 0.0)  # type: ignore[arg-type]
        for path, kind in kinds.items()
    }


@pytest.mark.parametrize(
    ("text", "root", "version", "below"),
    [("foo", "foo", "", ""), ("foo/a/b", "foo", "", "a/b"), ("foo@v1/a/", "foo", "v1", "a"),
     ("@public", "@public", "", ""), ("@public@g1-2/x", "@public", "g1-2", "x")],
)  # fmt: skip
def test_targets(text: str, root: str, version: str, below: str) -> None:
    found = names.parse(text)
    assert (found.root, found.version, found.below) == (root, version, below)


@pytest.mark.parametrize(
    "text",
    ["", "foo@", "foo@a%/x", "foo@~x", "foo@~/x", "fo o", "foo/../x", "foo//x", "foo@a%b",
     "foo@~YS9i=", "foo@~YS9j!", "foo@~YS9j\n", "foo@~ YS9j", "foo@~YWJj", "foo@~I!==", "foo@~I9==",
     "foo@~YS9j====", "foo@~w6k=", "foo@~+/==", "foo@~fg"],
)  # fmt: skip
def test_what_is_no_target(text: str) -> None:
    with pytest.raises(BadName):
        names.parse(text)


@pytest.mark.parametrize("etag", ["abc123", "a/b@c", "#!%~", "x" * 64, "~"])
def test_any_etag_can_be_written_as_a_version(etag: str) -> None:
    path = names.pinned(RootName("foo"), etag, "a/b.b2nd")
    found = names.parse(path)
    assert (found.version, found.below, path.count("/")) == (etag, "a/b.b2nd", 2)


@pytest.mark.parametrize(
    ("text", "array", "key"),
    [("foo/a/c/0/12", "foo/a", (0, 12)), ("foo/a/c", "foo/a", ()), ("foo/c/c/c/1", "foo/c/c", (1,)),
     ("foo/a/c/0/c", "foo/a/c/0", ())],
)  # fmt: skip
def test_keys_of_version_3(text: str, array: str, key: names.Key) -> None:
    assert names.split_key3(text) == (array, key)


@pytest.mark.parametrize(
    "text", ["foo/a", "foo/a/c/", "foo/a/c/x", "foo/a/c/-1", "c/0", "foo/a/d/0"]
)
def test_what_is_no_key_of_version_3(text: str) -> None:
    assert names.split_key3(text) is None


def test_keys_of_version_2() -> None:
    assert names.split_key2("foo/a/0.12") == ("foo/a", (0, 12))
    assert names.split_key2("foo/a/0.x") is None


def test_a_key_outside_of_the_grid_is_a_bad_request() -> None:
    names.check_key((2, 0), (25, 10), (10, 10))
    for key in ((3, 0), (0, 1), (0,), (0, 0, 0)):
        with pytest.raises(BadRequest):
            names.check_key(key, (25, 10), (10, 10))
    with pytest.raises(BadRequest):
        names.check_key((0,), (0,), (0,))


def test_names_of_a_hierarchy_lead_back_to_its_arrays() -> None:
    paths = ["a.b2nd", "d/x.b2nd", "d/e/y.b2nd", "d.b2nd", "a.b2nd.b2nd", "README.md"]
    known = entries(*paths)
    found = Hierarchy.of(known.values(), "")
    assert found.groups == ["d", "d/e"]
    assert found.arrays["d.b2nd"] == "d.b2nd"
    assert set(found.arrays.values()) == set(paths) - {"README.md"}
    for name, path in found.arrays.items():
        if name != "a.b2nd":
            assert names.resolve(known, name) == path
    assert Hierarchy.of(known.values(), "d").arrays == {"x": "d/x.b2nd", "e/y": "d/e/y.b2nd"}
    assert names.resolve(known, "README.md") is None
