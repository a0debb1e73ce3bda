"""Computed datasets over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import pytest

from tests.conftest import eventually
from tests.unit.samples import array_frame
from tests.web.expressions import DS, ONE, SHEET, TWO, fetched, make, refused
from tests.web.places import Places

# --- making one ---


def test_expression_goes_to_its_users_own_root(places: Places) -> None:
    assert make(places, "mine", "ds + 1", DS) == "@personal/mine.b2nd"
    assert "mine.b2nd" in places.names("ann", "@personal")
    assert make(places, "dir/mine.b2nd", "ds + 1", DS) == "@personal/dir/mine.b2nd"
    assert make(places, "@shared/ours", "ds + 1", DS) == "@shared/ours.b2nd"
    assert make(places, "Mine.B2ND", "ds + 1", DS) == "@personal/Mine.B2ND"
    assert fetched(places, "@personal/Mine.B2ND").tolist() == (ONE + 1).tolist()


def test_expression_takes_the_place_of_another(places: Places) -> None:
    make(places, "again", "ds + 1", DS)
    before = places.get("ann", "api/info/@personal/again.b2nd").json
    make(places, "again", "ds * 2", DS)
    after = places.get("ann", "api/info/@personal/again.b2nd").json
    assert after["expression"] == "ds * 2"
    assert before["etag"] != after["etag"]
    assert fetched(places, "@personal/again.b2nd").tolist() == (ONE * 2).tolist()


def test_a_dry_run_says_what_an_expression_takes_and_stores_nothing(places: Places) -> None:
    asked = {"name": "dry", "expression": "a + 0.5", "operands": {"a": "foo/ds-1d.b2nd"}}
    answer = places.post("ann", "api/lazyexpr/?dry=1", asked)
    assert (answer.status, answer.json["dtype"]) == (200, "float64")
    assert answer.json["cost"]["read"] > 0 and answer.json["shape"] == [1000]
    assert places.get("ann", "api/info/@personal/dry.b2nd").status == 404
    assert places.post("ann", "api/lazyexpr/?dry=2", asked).status == 400


def test_an_expression_needs_login(places: Places) -> None:
    body = {"name": "@public/x", "expression": "ds + 1", "operands": DS}
    assert places.post("nobody", "api/lazyexpr/", body).status == 401


def test_keys_of_newer_programs_are_understood(places: Places) -> None:
    told = {"func": None, "dtype": None, "shape": None, "compute": False}
    assert make(places, "new", "ds + 1", DS, **told) == "@personal/new.b2nd"
    status, detail = refused(places, func="def f(): pass")
    assert status == 400
    assert "functions of users are not run" in detail


@pytest.mark.parametrize(
    ("changed", "status", "detail"),
    [
        ({"expression": "ds.__class__"}, 400, "Invalid name or expression: attributes"),
        ({"expression": "__import__('os').system('x')"}, 400, "Invalid name or expression"),
        ({"expression": "x + 1"}, 400, "Expression error: x is not in the list of available"),
        ({"expression": "1 + 1"}, 400, "it has 0 operands"),
        ({"expression": ""}, 400, "Invalid name or expression"),
        ({"expression": "ds & 1.5"}, 400, "Runtime error: bitwise_and"),
        ({"expression": "ds[1000]"}, 400, "Runtime error: index 1000 is out of bounds"),
        ({"expression": "ds" + " + ds" * 999}, 400, "Invalid name or expression"),
        ({"operands": {}}, 400, "Expression error: ds is not in the list"),
        ({"operands": {"ds": "foo/nope.b2nd"}}, 404, "operand ds, foo/nope.b2nd"),
        ({"operands": {"ds": "nope/x.b2nd"}}, 404, "nope not known by the broker"),
        ({"operands": {"ds": "foo"}}, 400, "names no dataset"),
        ({"operands": {"ds": "foo/../../etc/passwd"}}, 400, "is not a path"),
        ({"operands": {"ds": "foo/README.md"}}, 400, "is not an array"),
        ({"operands": {"ds": "foo/ds-1d-fields.b2nd"}}, 400, "name a field of it"),
        ({"operands": DS | {"a.b": "foo/ds-1d.b2nd"}}, 400, "can't be the name of an operand"),
        ({"operands": {"ds": 1}}, 422, "operands.ds"),
        ({"operands": None}, 422, "operands"),
        ({"expression": None}, 422, "expression"),
        ({"name": None}, 422, "name"),
        ({"name": ""}, 400, "name a file in it"),
        ({"name": "/"}, 400, "name a file in it"),
        ({"name": "../x"}, 400, "is not a path"),
        ({"name": "@public"}, 400, "name a file in it"),
        ({"name": "@nope/x"}, 404, "@nope does not exist"),
        ({"name": "@public/dir/"}, 400, ""),
        ({"name": "foo.b2nd/x"}, 400, "named as a dataset"),
        ({"name": ".hidden"}, 400, "begins with a dot"),
    ],
    ids=str,
)
def test_bad_expression_is_refused(
    places: Places, changed: dict[str, Any], status: int, detail: str
) -> None:
    found, told = refused(places, **changed)
    assert (found, detail in told) == (status, True), (found, told)
    assert "x.b2nd" not in places.names("ann", "@personal")


# --- describing and reading it ---


def test_expression_is_described(places: Places) -> None:
    path = make(places, "@public/told", " ds + 1.5", DS)
    answer = places.get("nobody", f"api/info/{path}")
    info = answer.json
    assert (info["shape"], info["dtype"]) == ([1000], "float64")
    assert (info["expression"], info["operands"]) == ("ds + 1.5", DS)
    assert (info["chunks"], info["blocks"], info["kind"]) == ([100], [10], "array")
    assert info["cached"] == {"nchunks": 0, "cbytes": 0}
    assert info["accept_ranges"] == "none"
    assert str(places.stack.directory) not in answer.body.decode()


def test_members_of_a_directory_tell_of_expressions_too(places: Places) -> None:
    path = make(places, "@public/members/told", "ds + 1.5", DS)
    [told] = places.get("nobody", "api/members/@public/members").json["members"].values()
    info = places.get("nobody", f"api/info/{path}").json
    del info["cached"]
    assert told == info


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", TWO * 2.5),
        ("?slice_=", TWO * 2.5),
        ("?slice_=2:7,3", (TWO * 2.5)[2:7, 3]),
        ("?slice_=::-3,1:20:7", (TWO * 2.5)[::-3, 1:20:7]),
        ("?slice_=5:10,5:10", (TWO * 2.5)[5:10, 5:10]),
        ("?slice_=-1,-1", (TWO * 2.5)[-1, -1]),
        ("?slice_=3:3", (TWO * 2.5)[3:3]),
        ("?indices=[[0,9],[1,19]]", (TWO * 2.5)[[0, 9], [1, 19]]),
        ("?indices=[[7,1],null]", (TWO * 2.5)[[7, 1]]),
    ],
)
def test_expression_is_fetched(places: Places, query: str, expected: Any) -> None:
    path = make(places, "@public/sheet", "a * 2.5", SHEET)
    found = fetched(places, path + query, "nobody")
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def test_slice_out_of_bounds_is_refused(places: Places) -> None:
    path = make(places, "@public/sheet", "a * 2.5", SHEET)
    for query in ("slice_=10", "slice_=0,0,0", "slice_=x", "field=a", "indices=[[10]]"):
        assert places.get("ann", f"api/fetch/{path}?{query}").status == 400


def test_chunks_of_an_expression_are_computed(places: Places) -> None:
    path = make(places, "@public/sheet", "a * 2.5", SHEET)
    info = places.get("ann", f"api/info/{path}").json
    assert (info["chunks"], info["blocks"]) == ([5, 5], [2, 3])
    raw = places.get("ann", f"api/chunk/{path}?nchunk=5").body
    blocks = np.frombuffer(blosc2.decompress2(raw), float)
    assert blocks[:6].tolist() == (TWO * 2.5)[5:7, 5:8].ravel().tolist()
    for n in (8, -1):
        assert places.get("ann", f"api/chunk/{path}?nchunk={n}").status == 404


def test_expression_is_downloaded_as_a_file(places: Places, tmp_path: Path) -> None:
    path = make(places, "@public/sheet", "a * 2.5", SHEET)
    answer = places.get("nobody", f"api/download/{path}")
    assert answer.headers["content-disposition"] == 'attachment; filename="sheet.b2nd"'
    (tmp_path / "sheet.b2nd").write_bytes(answer.body)
    np.testing.assert_array_equal(blosc2.open(str(tmp_path / "sheet.b2nd"))[()], TWO * 2.5)
    tag = {"If_None_Match": answer.headers["etag"]} | places.cookie("ann")
    from tests.web.asking import ask

    assert ask(places.stack, f"api/download/{path}", **tag).status == 304
    assert places.get("ann", f"api/fetch/{path}", "HEAD").status == 200


def test_reductions_broadcasts_and_fields(places: Places) -> None:
    fields = {"f": "foo/ds-1d-fields.b2nd", "ds": "foo/ds-1d.b2nd"}
    path = make(places, "fields", "f['b'][10:] * ds[10:] - ds.mean()", fields)
    expected = np.linspace(0, 1, 1000)[10:] * ONE[10:] - ONE.mean()
    np.testing.assert_allclose(fetched(places, path), expected)
    path = make(places, "total", "sum(a, axis=0)", SHEET)
    np.testing.assert_array_equal(fetched(places, path), TWO.sum(0, np.uint64))
    path = make(places, "scalar", "std(a)", SHEET)
    assert places.get("ann", f"api/info/{path}").json["shape"] == []
    np.testing.assert_allclose(fetched(places, path), TWO.std())


@pytest.mark.parametrize("text", ["a[:0]", "a[5:5, 3:3] + 1.5", "sum(a[:0], axis=0)", "a[3, :0]"])
def test_empty_parts(places: Places, text: str) -> None:
    path = make(places, "empty", text, SHEET)
    expected = eval(text, {"a": TWO, "sum": np.sum})
    for query in ("", "?slice_=:", "?slice_=..."):
        found = fetched(places, path + query)
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    with places.client("ann") as client:
        np.testing.assert_array_equal(client.get(path)[:], expected)
    stored = make(places, "none", "x", {"x": path}, compute=True)
    assert fetched(places, stored).shape == expected.shape


def test_expression_over_expressions(places: Places) -> None:
    inner = make(places, "inner", "ds + 1", DS)
    outer = make(places, "outer", "x * 2 - x[::-1]", {"x": inner})
    assert places.get("ann", f"api/info/{outer}").json["operands"] == {"x": inner}
    np.testing.assert_array_equal(fetched(places, outer), (ONE + 1) * 2 - (ONE + 1)[::-1])
    make(places, "inner", "ds * 10", DS)
    np.testing.assert_array_equal(fetched(places, outer), ONE * 20 - (ONE * 10)[::-1])


def test_expression_is_never_computed_of_itself(places: Places) -> None:
    inner = make(places, "snake", "ds + 1", DS)
    outer = make(places, "tail", "x * 2", {"x": inner})
    for operand in (inner, outer):
        status, detail = refused(places, name="snake", expression="x + 1", operands={"x": operand})
        assert status == 400
        assert "computed of itself" in detail
    # What a rename makes of two of them is met when they are read.
    make(places, "other", "x + 1", {"x": "@personal/tail.b2nd"})
    assert places.transfer("ann", "move", "@personal/other.b2nd", inner).status == 200
    answer = places.get("ann", f"api/fetch/{outer}")
    assert (answer.status, answer.json["name"]) == (409, "operand-gone")
    assert "computed of itself" in answer.json["detail"]
    assert places.get("ann", f"api/info/{outer}").status == 200


def test_result_is_stored_on_request(places: Places) -> None:
    path = make(places, "@public/stored", "a * 2.5", SHEET, compute=True)
    info = places.get("ann", f"api/info/{path}").json
    assert "expression" not in info
    assert info["schunk"]["cbytes"] > 0
    np.testing.assert_array_equal(fetched(places, path), TWO * 2.5)
    again = make(places, "@public/stored", "s + 1", {"s": path}, compute=True)
    np.testing.assert_array_equal(fetched(places, again), TWO * 2.5 + 1)


def test_expression_is_copied_moved_and_removed(places: Places) -> None:
    path = make(places, "@shared/first", "ds + 1", DS)
    assert places.transfer("ann", "copy", path, "@public/copy.b2nd").json == "@public/copy.b2nd"
    assert places.transfer("ann", "move", path, "@public/moved.b2nd").status == 200
    for name in ("copy", "moved"):
        info = places.get("nobody", f"api/info/@public/{name}.b2nd").json
        assert info["expression"] == "ds + 1"
        assert fetched(places, f"@public/{name}.b2nd?slice_=3", "nobody") == 4
    assert places.post("ann", "api/remove/@public/moved.b2nd").status == 200
    assert places.get("ann", "api/info/@public/moved.b2nd").status == 404


def test_nothing_is_appended_to_an_expression(places: Places) -> None:
    path = make(places, "fixed", "ds + 1", DS)
    answer = places.send("ann", f"api/append/{path}", array_frame(ONE))
    assert (answer.status, "must be a NDArray" in answer.json["detail"]) == (400, True)


def test_expression_can_not_be_uploaded(places: Places) -> None:
    make(places, "@public/real", "ds + 1", DS)
    spaces = places.stack.directory / "sub" / "spaces" / "public"
    body = (spaces / "real.b2nd").read_bytes()
    assert places.send("ann", "api/upload/@public/forged.b2nd", body).status == 400


def test_forged_expression_on_the_disk_is_refused(places: Places) -> None:
    make(places, "@public/evil", "ds + 1", DS)
    file = places.stack.directory / "sub" / "spaces" / "public" / "evil.b2nd"
    file.write_bytes(file.read_bytes().replace(b"ds + 1", b"ds.dump(1)"))
    answer = eventually(
        lambda: (found := places.get("ann", "api/info/@public/evil.b2nd")).status == 502 and found
    )
    assert "attributes" in answer.json["detail"] or "there is no method" in answer.json["detail"]
    assert places.get("ann", "api/fetch/@public/evil.b2nd").status == 502
    assert places.post("ann", "api/remove/@public/evil.b2nd").status == 200
