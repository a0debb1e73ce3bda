"""Computed datasets over HTTP."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import pytest

import caterva2
from caterva2.errors import BadRequest
from tests.conftest import Stack, eventually, example_root
from tests.unit.samples import array_frame
from tests.web.places import NAMES, WORD, Places

ONE = np.arange(1000)
TWO = np.arange(200, dtype=np.uint16).reshape(10, 20)
DS = {"ds": "foo/ds-1d.b2nd"}
SHEET = {"a": "foo/dir1/ds-2d.b2nd"}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    """All users read ``foo``, and only Ann ``secret``."""
    stack = Stack(tmp_path_factory.mktemp("expressions"))
    stack.secret = "keeps sessions"
    settings = f'[subscriber.roots.secret]\nread = ["{NAMES["ann"]}"]\n'
    (stack.directory / "caterva2.toml").write_text(settings)
    made = Places(stack)
    try:
        made.add_users("ann", "bob")
        stack.start_services(foo=example_root(), secret=example_root())
        eventually(lambda: len(made.get("ann", "api/roots").json) == 5)
        yield made
    finally:
        stack.stop_all()


def make(
    places: Places, name: str, text: str, operands: dict[str, str], who: str = "ann", **more: Any
) -> str:
    body = {"name": name, "expression": text, "operands": operands} | more
    answer = places.post(who, "api/lazyexpr/", body)
    assert answer.status == 200, answer.body
    path: str = answer.json
    return path


def refused(places: Places, **changed: Any) -> tuple[int, str]:
    body = {"name": "x", "expression": "ds + 1", "operands": DS} | changed
    answer = places.post("ann", "api/lazyexpr/", body)
    return answer.status, answer.json["detail"]


def fetched(places: Places, target: str, who: str = "ann") -> Any:
    answer = places.get(who, f"api/fetch/{target}")
    assert answer.status == 200, answer.body
    return blosc2.ndarray_from_cframe(answer.body)[()]


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


# --- operands that change, go, or are not for everybody ---


def test_result_follows_its_operands(places: Places) -> None:
    places.send("ann", "api/upload/@public/grows.b2nd", array_frame(np.arange(5.0)))
    path = make(places, "@public/follows", "g - mean(g)", {"g": "@public/grows.b2nd"})
    before = places.get("ann", f"api/info/{path}").json
    np.testing.assert_allclose(fetched(places, path), np.arange(5.0) - 2)
    places.send("ann", "api/append/@public/grows.b2nd", array_frame(np.arange(5.0, 9.0)))
    after = places.get("ann", f"api/info/{path}").json
    assert (after["shape"], after["etag"] != before["etag"]) == ([9], True)
    assert after["mtime"] >= before["mtime"]
    np.testing.assert_allclose(fetched(places, path), np.arange(9.0) - 4)


def test_missing_operand_is_reported_and_the_description_stays(places: Places) -> None:
    places.send("ann", "api/upload/@public/goes.b2nd", array_frame(np.arange(5)))
    path = make(places, "@public/left", "g + 1", {"g": "@public/goes.b2nd"})
    outer = make(places, "@public/outer", "x + 1", {"x": path})
    places.post("ann", "api/remove/@public/goes.b2nd")
    for one in (path, outer):
        info = places.get("ann", f"api/info/{one}")
        assert (info.status, info.json["shape"]) == (200, [5])
        for target in (f"fetch/{one}", f"fetch/{one}?slice_=1", f"download/{one}"):
            answer = places.get("ann", f"api/{target}")
            assert (answer.status, answer.json["name"]) == (409, "operand-gone")
            assert "@public/goes.b2nd does not exist" in answer.json["detail"]
            assert places.get("ann", f"api/{target}", "HEAD").status == 409
        assert places.get("ann", f"api/chunk/{one}?nchunk=0").status == 409
        assert places.get("ann", f"api/fetch/{one}?indices=[[1]]").status == 409
    places.send("ann", "api/upload/@public/goes.b2nd", array_frame(np.ones(2)))
    assert fetched(places, outer).tolist() == [3.0, 3.0]


def test_operands_that_do_not_fit_any_more_are_reported(places: Places) -> None:
    for name in ("p", "q"):
        places.send("ann", f"api/upload/@public/{name}.b2nd", array_frame(np.arange(5)))
    operands = {"p": "@public/p.b2nd", "q": "@public/q.b2nd"}
    path = make(places, "@public/unfit", "p + q", operands)
    places.send("ann", "api/append/@public/p.b2nd", array_frame(np.arange(3)))
    assert places.get("ann", f"api/info/{path}").json["shape"] == [5]
    answer = places.get("ann", f"api/fetch/{path}")
    assert (answer.status, "can't be broadcast" in answer.json["detail"]) == (409, True)


def test_a_reader_needs_the_right_to_read_the_operands(places: Places) -> None:
    path = make(places, "@public/hers", "s + 1", {"s": "secret/ds-1d.b2nd"})
    assert fetched(places, f"{path}?slice_=7", "ann") == 8
    for who in ("bob", "nobody"):
        answer = places.get(who, f"api/fetch/{path}?slice_=7")
        assert (answer.status, answer.json["name"]) == (409, "operand-gone")
        assert places.get(who, f"api/info/{path}").json["shape"] == [1000]
    body = {"name": "@public/his", "expression": "s", "operands": {"s": path}}
    assert places.post("bob", "api/lazyexpr/", body).status != 200
    body["operands"] = {"s": "secret/ds-1d.b2nd"}
    answer = places.post("bob", "api/lazyexpr/", body)
    assert (answer.status, "secret not known" in answer.json["detail"]) == (404, True)


def test_personal_operands_are_those_of_the_reader(places: Places) -> None:
    for who, value in (("ann", 1), ("bob", 2)):
        frame = array_frame(np.full(3, value))
        places.send(who, "api/upload/@personal/own.b2nd", frame)
    path = make(places, "@public/own", "o * 10", {"o": "@personal/own.b2nd"})
    assert fetched(places, path, "ann").tolist() == [10] * 3
    assert fetched(places, path, "bob").tolist() == [20] * 3
    assert places.get("nobody", f"api/fetch/{path}").status == 409


def test_offline_publisher_is_reported(tmp_path: Path) -> None:
    stack = Stack(tmp_path)
    stack.secret = "keeps sessions"
    places = Places(stack)
    try:
        places.add_users("ann")
        stack.start(foo=example_root())
        path = make(places, "away", "a + 1", SHEET)
        assert fetched(places, f"{path}?slice_=0,0") == 1
        stack.stop("pub-foo")
        eventually(lambda: places.get("ann", f"api/info/{path}").headers.get("warning"))
        assert fetched(places, f"{path}?slice_=1,1") == 22
        answer = places.get("ann", f"api/fetch/{path}")
        assert (answer.status, answer.json["name"]) == (503, "root-offline")
    finally:
        stack.stop_all()


# --- too much ---


def test_huge_result_is_made_and_read_in_part_only(places: Places) -> None:
    column = np.arange(2**17, dtype=np.int32)[:, None]
    places.send("ann", "api/upload/@public/column.b2nd", array_frame(column))
    path = make(places, "@public/huge", "c + c[:, 0]", {"c": "@public/column.b2nd"})
    assert fetched(places, f"{path}?slice_=7:9,100:102").tolist() == [[107, 108], [108, 109]]
    answer = places.get("ann", f"api/fetch/{path}?slice_=0:100000")
    assert (answer.status, "OUTPUT_BYTES" in answer.json["detail"]) == (413, True)
    answer = places.get("ann", f"api/fetch/{path}")
    assert (answer.status, "COMPUTED_FRAME" in answer.json["detail"]) == (413, True)
    body = {"name": "all", "expression": "h + 1", "operands": {"h": path}, "compute": True}
    assert places.post("ann", "api/lazyexpr/", body).status == 413


def test_expressions_over_long_expressions_are_refused(places: Places) -> None:
    parts = {f"x{n}": make(places, f"long{n}", "+".join(["ds"] * 90), DS) for n in range(5)}
    make(places, "longer", "+".join(parts), parts)
    parts |= {f"x{n}": make(places, f"long{n}", "+".join(["ds"] * 90), DS) for n in range(5, 8)}
    status, detail = refused(places, expression="+".join(parts), operands=parts)
    assert (status, "EXPRESSION_NODES" in detail) == (400, True)


def test_nesting_of_expressions_is_bounded(places: Places) -> None:
    path = "foo/ds-1d.b2nd"
    for n in range(16):
        path = make(places, f"nested{n}", "x + 1", {"x": path})
    assert fetched(places, f"{path}?slice_=5") == 5 + 16
    status, detail = refused(places, expression="x + 1", operands={"x": path})
    assert (status, "EXPRESSION_NESTING" in detail) == (400, True)


def test_result_that_is_over_quota_is_not_stored(tmp_path: Path) -> None:
    stack = Stack(tmp_path)
    stack.secret = "keeps sessions"
    places = Places(stack)
    try:
        places.add_users("ann")
        stack.start_subscriber(given=("--broker", "", "--quota", "100KB"))
        places.send("ann", "api/upload/@public/a.b2nd", array_frame(np.arange(100_000)))
        operands = {"a": "@public/a.b2nd"}
        make(places, "@public/lazy", "sin(a)", operands)
        body = {"name": "@public/all", "expression": "sin(a)", "operands": operands}
        answer = places.post("ann", "api/lazyexpr/", body | {"compute": True})
        assert (answer.status, answer.json["name"]) == (507, "quota-exceeded")
        assert places.names("ann", "@public") == ["a.b2nd", "lazy.b2nd"]
    finally:
        stack.stop_all()


# --- Python, python-blosc2, the command line ---


def test_python_makes_and_reads_one(places: Places) -> None:
    with places.client("ann") as client:
        sheet = client.get("foo/dir1/ds-2d.b2nd")
        path = client.lazyexpr("py", "a * 2 + mean(a)", {"a": sheet})
        found = client.get(path)
        assert isinstance(found, caterva2.Dataset)
        assert (found.expression, str(found.operands["a"])) == (
            "a * 2 + mean(a)", "foo/dir1/ds-2d.b2nd",
        )  # fmt: skip
        expected = TWO * np.uint16(2) + TWO.mean()
        np.testing.assert_array_equal(found[:], expected)
        np.testing.assert_array_equal(found[[1, 5], ::3], expected[[1, 5], ::3])
        np.testing.assert_array_equal(found.slice(slice(2, 4))[()], expected[2:4])
        assert "computed when it is read" in repr(found.info)
        assert "a * 2 + mean(a)" in repr(found.info)
        with pytest.raises(caterva2.HttpError, match="Bad Request"):
            client.lazyexpr("bad", "a.__class__", {"a": sheet})


def test_asyncio_makes_one(places: Places) -> None:
    async def work() -> Any:
        login = NAMES["ann"], WORD
        async with caterva2.AsyncClient(places.stack.url, login) as client:
            sheet = await client.get("foo/dir1/ds-2d.b2nd")
            found = await client.get(await client.lazyexpr("async", "a + 1", {"a": sheet}))
            return await found[3, 4]

    assert asyncio.run(work()) == TWO[3, 4] + 1


def test_python_takes_blosc2s_lazy_expressions(places: Places) -> None:
    remote = blosc2.C2Array("foo/ds-1d.b2nd", urlbase=places.stack.url)
    with places.client("ann") as client:
        path = client.lazyexpr("theirs", (remote + 1) * 2)
        np.testing.assert_array_equal(client.get(path)[:10], (ONE[:10] + 1) * 2)


def test_python_refuses_a_value_that_is_not_an_expression(places: Places) -> None:
    wrong: Any = 3
    with places.client("ann") as client, pytest.raises(BadRequest, match="int, not text"):
        client.lazyexpr("wrong", wrong, DS)


def test_large_result_is_streamed_and_downloaded(places: Places, tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(1500, 2000))
    with places.client("ann") as client:
        file = io.BytesIO(array_frame(values, chunks=(100, 2000), blocks=(10, 2000)))
        client.upload(file, "@personal/big.b2nd")
        path = client.lazyexpr("bigger", "b - mean(b) + b[0]", {"b": "@personal/big.b2nd"})
        expected = values - values.mean() + values[0]
        np.testing.assert_allclose(client.get(path)[:], expected)
        local = client.download(path, tmp_path / "bigger.b2nd")
        np.testing.assert_allclose(blosc2.open(str(local))[:], expected)


def test_python_blosc2_opens_and_slices_one(places: Places) -> None:
    path = make(places, "@public/c2", "a * 2.5", SHEET)
    found = blosc2.C2Array(path, urlbase=places.stack.url)
    assert (found.shape, found.chunks, found.blocks) == ((10, 20), (5, 5), (2, 3))
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found[()], TWO * 2.5)
    np.testing.assert_array_equal(found[2:5, 7], (TWO * 2.5)[2:5, 7])
    np.testing.assert_array_equal(found[[1, 3]], (TWO * 2.5)[[1, 3]])
    assert len(blosc2.decompress2(found.get_chunk(0))) == 6 * 6 * 8
    assert (found + 1)[3, 4] == (TWO * 2.5)[3, 4] + 1


def test_command_line_makes_one(places: Places) -> None:
    stack, login = places.stack, ("--username", NAMES["ann"], "--password", WORD)
    done = stack.cli("lazyexpr", "cli", "ds[:3] + 1", "ds=foo/ds-1d.b2nd", *login)
    assert (done.returncode, done.stdout) == (0, "Expression stored in @personal/cli.b2nd\n")
    assert stack.cli("show", "@personal/cli.b2nd", *login).stdout == "[1 2 3]\n"
    assert "ds[:3] + 1" in stack.cli("info", "@personal/cli.b2nd", *login).stdout
    done = stack.cli("lazyexpr", "cli", "ds.x", "ds=foo/ds-1d.b2nd", *login)
    assert done.returncode == 1
    assert "attributes are not allowed" in done.stderr
    assert stack.cli("lazyexpr", "cli", "ds", "ds", *login).returncode == 2
    done = stack.cli("lazyexpr", "cli", "(-ds)[:3]", "ds=foo/ds-1d.b2nd", *login)
    assert (done.returncode, done.stderr) == (0, "")
    done = stack.cli(
        "lazyexpr", "@public/cli", "ds + 1", "ds=foo/ds-1d.b2nd", "--compute", "--json", *login
    )
    assert done.stdout == '"@public/cli.b2nd"\n'
