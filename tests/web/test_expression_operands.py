"""Computed datasets whose operands change, go, cost too much or are not for everybody."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.conftest import Stack, eventually, example_root
from tests.unit.samples import array_frame
from tests.web.expressions import DS, SHEET, fetched, make, refused
from tests.web.places import Places

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
    path = make(places, "@public/hers", "s + 1", {"s": "anns/ds-1d.b2nd"})
    assert fetched(places, f"{path}?slice_=7", "ann") == 8
    for who in ("bob", "nobody"):
        answer = places.get(who, f"api/fetch/{path}?slice_=7")
        assert (answer.status, answer.json["name"]) == (409, "operand-gone")
        assert places.get(who, f"api/info/{path}").json["shape"] == [1000]
    body = {"name": "@public/his", "expression": "s", "operands": {"s": path}}
    assert places.post("bob", "api/lazyexpr/", body).status != 200
    body["operands"] = {"s": "anns/ds-1d.b2nd"}
    answer = places.post("bob", "api/lazyexpr/", body)
    assert (answer.status, "anns not known" in answer.json["detail"]) == (404, True)


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
