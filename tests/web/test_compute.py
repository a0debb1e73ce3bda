"""Computations over datasets that are answered and not stored."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import io
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import pytest

import caterva2
from caterva2.limits import DEFAULTS
from caterva2.rest import stream
from caterva2.rest.values import layout
from tests.conftest import Stack, eventually
from tests.unit.samples import array_frame
from tests.web.asking import Answer, ask
from tests.web.expressions import DS, ONE, SHEET, TWO, make
from tests.web.places import Places

FORMATS = ("json", "csv")
HEAVY = "sum(" + "sin(" * 60 + "z" + ")" * 60 + ")"


def compute(
    places: Places, text: str, operands: Any, who: str = "nobody", query: str = "", **more: Any
) -> Answer:
    body = {"expression": text, "operands": operands} | more
    return places.post(who, f"api/compute{query}", body)


def values(answer: Answer) -> Any:
    assert answer.status == 200, answer.body
    return blosc2.ndarray_from_cframe(answer.body)[()]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a + 1.5", TWO + 1.5),
        ("(a - mean(a, axis=0))[:3, ::2]", (TWO - TWO.mean(0))[:3, ::2]),
        ("a.max(axis=1)", TWO.max(1)),
        ("mean(a)", TWO.mean()),
        ("sum(a[:0], axis=0)", np.zeros(20, np.uint64)),
        ("argmax(a, axis=1, keepdims=True)", TWO.argmax(1, keepdims=True)),
        ("a[3, 4]", TWO[3, 4]),
        ("a", TWO),
    ],
)
def test_result_is_that_of_numpy(places: Places, text: str, expected: Any) -> None:
    found = values(compute(places, text, SHEET))
    assert (found.shape, found.dtype) == (np.shape(expected), np.asarray(expected).dtype)
    np.testing.assert_allclose(found, expected)
    with caterva2.Client(places.stack.url) as client:
        streamed = client.compute(text, SHEET)
    assert (np.shape(streamed), streamed.dtype) == (found.shape, found.dtype)
    np.testing.assert_array_equal(streamed, found)


def test_result_is_sent_in_the_formats_of_fetch_too(places: Places) -> None:
    body = json.dumps({"expression": "(a * 2)[:2, :3]", "operands": SHEET})
    target, expected = "api/compute", (TWO * 2)[:2, :3]
    accepted = ask(places.stack, target, "POST", body, Accept=layout.MEDIA_TYPE)
    head, found = layout.read(accepted.body)
    np.testing.assert_array_equal(found, expected)
    assert (accepted.headers["content-type"], head["kind"]) == (layout.MEDIA_TYPE, "array")
    assert "a" in json.loads(accepted.headers["caterva2-operands"])
    npy = ask(places.stack, f"{target}?format=npy", "POST", body)
    np.testing.assert_array_equal(np.load(io.BytesIO(npy.body)), expected)
    texts = {form: ask(places.stack, f"{target}?format={form}", "POST", body) for form in FORMATS}
    assert texts["json"].json == expected.tolist()
    assert texts["csv"].body.decode().split() == [",".join(map(str, row)) for row in expected]
    refused = compute(places, "a", SHEET, query="?format=xml")
    assert (refused.status, "format='xml'" in refused.json["detail"]) == (400, True)
    dry = compute(places, "a", SHEET, query="?format=npy&dry=1")
    assert dry.json["shape"] == [10, 20]


def test_operands_are_of_any_roots_and_expressions_too(places: Places) -> None:
    stored = make(places, "@public/inner", "ds * 2", DS)
    places.send("ann", "api/upload/@public/own.b2nd", array_frame(ONE[::-1]))
    operands = {"x": stored, "y": "@public/own.b2nd", "z": "foo/ds-1d.b2nd"}
    answer = compute(places, "x + y - z", operands)
    np.testing.assert_array_equal(values(answer), ONE * 2 + ONE[::-1] - ONE)
    etags = json.loads(answer.headers["caterva2-operands"])
    for name, path in operands.items():
        assert etags[name] == places.get("nobody", f"api/info/{path}").json["etag"]


def test_nothing_is_computed_for_a_plan(places: Places) -> None:
    answer = compute(places, "a * 2.5", SHEET, query="?dry=1")
    plan = answer.json
    assert (plan["shape"], plan["dtype"], plan["nbytes"]) == ([10, 20], "float64", 1600)
    assert plan["cost"] == {"read": 8 * 36 * 2, "staged": 0}
    info = places.get("nobody", f"api/info/{SHEET['a']}").json
    assert plan["operands"] == {
        "a": {"path": SHEET["a"], "etag": info["etag"], "shape": [10, 20], "dtype": "uint16"}
    }
    computed = compute(places, "a * 2.5", SHEET)
    assert computed.headers["etag"] == f'W/"{plan["etag"]}"'
    assert compute(places, "a * 2", SHEET).headers["etag"] != computed.headers["etag"]


def test_version_of_an_operand_may_be_named(places: Places) -> None:
    etag = places.get("nobody", f"api/info/{SHEET['a']}").json["etag"]
    assert compute(places, "sum(a)", SHEET, etags={"a": etag, "b": "x"}).status == 200
    refused = compute(places, "sum(a)", SHEET, etags={"a": "other"})
    assert (refused.status, "operand a" in refused.json["detail"]) == (412, True)


@pytest.mark.parametrize(
    ("changed", "status", "detail"),
    [
        ({"expression": "a.__class__"}, 400, "attributes"),
        ({"expression": "__import__('os').system('x')"}, 400, "Invalid name or expression"),
        ({"expression": "[x for x in a]"}, 400, "ListComp is not allowed"),
        ({"expression": "b + 1"}, 400, "b is not in the list"),
        ({"expression": "1 + 1"}, 400, "it has 0 operands"),
        ({"expression": "a[100]"}, 400, "out of bounds"),
        ({"expression": "a + a[:3]"}, 400, "can't be broadcast"),
        ({"expression": "a" + " + a" * 999}, 400, "EXPRESSION_"),
        ({"expression": "a" * 1_000_000}, 413, "RECIPE_BYTES"),
        ({"expression": None}, 422, "expression"),
        ({"operands": None}, 422, "operands"),
        ({"operands": {"a": 1}}, 422, "operands.a"),
        ({"operands": {"a": "foo/README.md"}}, 400, "is not an array"),
        ({"operands": {"a": "foo/ds-1d-fields.b2nd"}}, 400, "name a field of it"),
        ({"operands": {"a": "foo/ds-1d-b.b2nd"}}, 400, "is not a number"),
        ({"operands": {"a": "foo/nope.b2nd"}}, 404, "operand a, foo/nope.b2nd"),
        ({"operands": {"a": "foo/../x"}}, 400, "is not a path"),
        ({"operands": {"a": "@personal/x.b2nd"}}, 404, "needs authentication"),
        ({"etags": {"a": 1}}, 422, "etags.a"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_bad_computation_is_refused(
    places: Places, changed: dict[str, Any], status: int, detail: str
) -> None:
    body = {"expression": "a + 1", "operands": SHEET} | changed
    for query in ("", "?dry=1"):
        answer = places.post("nobody", f"api/compute{query}", body)
        assert (answer.status, detail in answer.json["detail"]) == (status, True), answer.body
    assert places.post("nobody", "api/compute?dry=2", body).status == 400


def test_hidden_operand_is_as_if_it_were_not_there(places: Places) -> None:
    hidden = compute(places, "sum(a)", {"a": "anns/ds-1d.b2nd"}, "bob")
    absent = compute(places, "sum(a)", {"a": "none/ds-1d.b2nd"}, "bob")
    assert hidden.status == absent.status == 404
    assert hidden.body.replace(b"anns", b"none") == absent.body
    assert values(compute(places, "sum(a)", {"a": "anns/ds-1d.b2nd"}, "ann")) == ONE.sum()


def test_result_is_of_one_version_while_the_operand_changes(places: Places) -> None:
    path, end = "@public/changing.b2nd", threading.Event()
    frames = [array_frame(np.full(50_000, n, "i4"), chunks=(1000,)) for n in (1, 2)]
    places.send("ann", f"api/upload/{path}", frames[0])

    def change() -> None:
        while not end.is_set():
            for frame in frames:
                places.send("ann", f"api/upload/{path}", frame)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        with caterva2.Client(places.stack.url) as client:
            done = 0
            for _ in range(8):
                try:
                    found = client.compute("a + max(a) - min(a)", a=path)
                except (caterva2.StaleVersion, caterva2.HttpError) as error:
                    assert getattr(error, "status_code", 409) == 409
                else:
                    done += 1
                    assert len(np.unique(found)) == 1
    finally:
        end.set()
        thread.join()


def test_python_computes_at_the_subscriber(places: Places) -> None:
    with caterva2.Client(places.stack.url) as client:
        a, b = client["foo/dir1/ds-2d.b2nd"], client["foo/ds-2d-fields.b2nd"].fields["b"]
        expression = (a - 1.5) * 2 > -a
        assert "(((o0 - 1.5) * 2) > (-o0))" in repr(expression)
        np.testing.assert_array_equal(expression[2:4, -1], ((TWO - 1.5) * 2 > -TWO)[2:4, -1])
        assert (expression.shape, expression.dtype) == ((10, 20), np.dtype(bool))
        assert (a - a).mean(axis=0).tolist() == [0] * 20
        assert np.std(a, ddof=1) == pytest.approx(TWO.std(ddof=1))
        assert b.max() == 2.0
        np.testing.assert_allclose(np.sin(a[...]), np.asarray(np.sin(a)))
        here = (np.sqrt(a) * 2.5 - a).to_blosc2()
        np.testing.assert_allclose(here[:2], (np.sqrt(TWO) * 2.5 - TWO)[:2], rtol=1e-3)


def test_pinned_dataset_is_computed_with_in_its_version(places: Places) -> None:
    path = "@public/pinned.b2nd"
    places.send("ann", f"api/upload/{path}", array_frame(ONE))
    with caterva2.Client(places.stack.url) as client:
        dataset = client.get(path)
        assert isinstance(dataset, caterva2.Dataset)
        pinned = dataset.pinned()
        assert (pinned + 1).max() == 1000
        places.send("ann", f"api/upload/{path}", array_frame(ONE * 2))
        assert dataset.max() == 1998
        for read in (pinned.max, (pinned + dataset).compute):
            with pytest.raises(caterva2.StaleVersion):
                read()


def test_asyncio_computes_at_the_subscriber(places: Places) -> None:
    async def work() -> None:
        async with caterva2.AsyncClient(places.stack.url) as client:
            a = await client["foo/dir1/ds-2d.b2nd"]
            assert isinstance(a, caterva2.AsyncDataset)
            assert await a.mean() == TWO.mean()
            expression = a * 2 - a
            assert isinstance(expression, caterva2.AsyncExpression)
            assert (await expression[3]).tolist() == TWO[3].tolist()
            assert (await expression.compute()).tolist() == TWO.tolist()
            assert (await expression.plan())["shape"] == [10, 20]
            assert await client.compute("max(x)", x=a) == 199

    asyncio.run(work())


def test_command_computes(places: Places, tmp_path: Path) -> None:
    given = ("compute", "a[:2] * 2", "--operand", f"a={SHEET['a']}")
    assert "[[ 0  2  4" in places.stack.cli(*given).stdout
    assert places.stack.cli("--json", *given).stdout == json.dumps((TWO[:2] * 2).tolist()) + "\n"
    target = tmp_path / "out.npy"
    done = places.stack.cli(*given, "--output", str(target))
    assert str(target) in done.stdout
    np.testing.assert_array_equal(np.load(target), TWO[:2] * 2)
    plan = places.stack.cli("--json", *given, "--dry")
    assert json.loads(plan.stdout)["shape"] == [2, 20]
    for wrong in (("--operand", "a"), ("--operand", "a=foo/x", "--operand", "a=foo/y"), ()):
        assert places.stack.cli("compute", "a + 1", *wrong).returncode != 0


# --- limits ---


@pytest.fixture(scope="module")
def bounded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A subscriber that computes one thing at a time, and answers with few bytes."""
    source = tmp_path_factory.mktemp("bounded")
    blosc2.zeros(10**9, dtype="u1", urlpath=str(source / "z.b2nd"))
    blosc2.asarray(np.arange(40_000.0), chunks=(1000,), urlpath=str(source / "x.b2nd"))
    stack = Stack(tmp_path_factory.mktemp("stack"))
    stack.configure(
        "[limits.compute]\ncomputations = 1\nuser_computations = 1\ncomputation_wait = 0.3\n"
        "computed_bytes = 1_000_000_000\ncomputed_frame = 1_000_000_000\n"
        "compute_operands = 1_100_000_000\n"
        "[limits.web]\noutput_bytes = 100_000\nstream_part = 20_000\ndisconnect_check = 0.1\n"
    )
    try:
        stack.start(r=source)
        yield stack
    finally:
        stack.stop_all()


def asked(stack: Stack, text: str, **headers: str) -> Answer:
    operands = {name: f"r/{name}.b2nd" for name in "xz" if name in text}
    body = json.dumps({"expression": text, "operands": operands})
    return ask(stack, "api/compute", "POST", body, **headers)


@pytest.mark.parametrize(
    ("text", "limit"),
    [("z + 1.5", "COMPUTED_BYTES"), ("sum(z) + min(z)", "COMPUTE_OPERANDS"), ("x", "OUTPUT_BYTES")],
)
def test_too_large_computation_is_refused_before_it_begins(
    bounded: Stack, text: str, limit: str
) -> None:
    answer = asked(bounded, text)
    assert (answer.status, limit in answer.json["detail"]) == (413, True), answer.body


def test_all_that_a_stream_would_take_is_refused_before_it_begins(bounded: Stack) -> None:
    answer = asked(bounded, "z + z[::-1]", Accept=stream.MEDIA_TYPE)
    assert (answer.status, "COMPUTE_OPERANDS" in answer.json["detail"]) == (413, True)


def test_large_result_is_streamed_in_pieces(bounded: Stack) -> None:
    answer = asked(bounded, "x * 2", Accept=stream.MEDIA_TYPE)
    assert answer.headers["transfer-encoding"] == "chunked"
    found = bounded.client.compute("x * 2", x="r/x.b2nd")
    np.testing.assert_array_equal(found, np.arange(40_000.0) * 2)


def test_computation_ends_with_its_client_and_others_wait_for_their_turn(bounded: Stack) -> None:
    connection = http.client.HTTPConnection(bounded.url.removeprefix("http://"), timeout=20)
    body = json.dumps({"expression": HEAVY, "operands": {"z": "r/z.b2nd"}})
    with contextlib.closing(connection):
        connection.request("POST", "/api/compute", body)
        busy = eventually(lambda: (found := asked(bounded, "sum(x)")).status == 503 and found)
        assert "COMPUTATIONS" in busy.json["detail"]
    begun = time.monotonic()
    assert eventually(lambda: asked(bounded, "sum(x)").status == 200, 60)
    assert time.monotonic() - begun < DEFAULTS.compute.compute_deadline / 4
