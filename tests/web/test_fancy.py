"""`indices`, `field` and the POST of a fetch."""

from __future__ import annotations

import json
import urllib.parse
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from caterva2.limits import DEFAULTS
from caterva2.limits.constants import INDEX_ENTRIES
from tests.conftest import Stack, example_root
from tests.keys import as_key, index_entries
from tests.thoroughness import examples
from tests.web.asking import Answer, ask

DS = "api/fetch/foo/dir2/ds-4d.b2nd"


def _source(path: str) -> Any:
    return blosc2.open(str(example_root() / path))[()]


def _array(answer: Answer) -> Any:
    assert answer.status == 200, answer.body
    return blosc2.ndarray_from_cframe(answer.body)[()]


def _get(stack: Stack, path: str, **given: Any) -> Answer:
    query = {k: v if isinstance(v, str) else json.dumps(v) for k, v in given.items()}
    return ask(stack, f"api/fetch/foo/{path}?{urllib.parse.urlencode(query)}")


def _post(stack: Stack, path: str, body: Any) -> Answer:
    given = body if isinstance(body, bytes) else json.dumps(body)
    return ask(stack, f"api/fetch/foo/{path}", "POST", given, Content_Type="application/json")


@settings(max_examples=examples(200), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["ds-1d.b2nd", "dir1/ds-2d.b2nd", "dir1/ds-3d.b2nd", "dir2/ds-4d.b2nd"]),
    st.booleans(),
    st.data(),
)
def test_indices_select_what_numpy_selects(
    shared_stack: Stack, path: str, post: bool, data: st.DataObject
) -> None:
    source = _source(path)
    entries = data.draw(index_entries(source.shape))
    if post:
        answer = _post(shared_stack, path, {"indices": entries})
    else:
        answer = _get(shared_stack, path, indices=entries)
    found, expected = _array(answer), source[as_key(entries)]
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "key",
    [
        ([0, 1], slice(None), [2, 0]),
        ([[0, 1], [1, 0]], 2),
        (slice(1, 2), [True, False, True]),
        np.arange(24).reshape(2, 3, 4) % 5 == 0,
        (..., [4, -1, 0]),
    ],
)
def test_blosc2s_own_client_gathers(shared_stack: Stack, key: Any) -> None:
    remote = blosc2.C2Array("foo/dir2/ds-4d.b2nd", urlbase=shared_stack.url)
    np.testing.assert_array_equal(remote[key], _source("dir2/ds-4d.b2nd")[key])


def test_blosc2s_own_client_gathers_many_points(shared_stack: Stack) -> None:
    """Enough points that they are sent in a body."""
    remote = blosc2.C2Array("foo/ds-1d.b2nd", urlbase=shared_stack.url)
    key = np.random.default_rng(1).integers(-1000, 1000, 50_000)
    np.testing.assert_array_equal(remote[key], np.arange(1000)[key])


def test_only_chunks_that_hold_points_are_fetched(stack: Stack, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    values = np.arange(10_000).reshape(100, 100)
    blosc2.asarray(values, chunks=(10, 10), blocks=(5, 5), urlpath=str(root / "a.b2nd"))
    stack.start(foo=root)
    found = _array(_get(stack, "a.b2nd", indices=[[0, 99, 5], [0, 99, 7]]))
    assert found.tolist() == [0, 9999, 507]
    assert stack.metric("fetched_chunks_total") == 2


@pytest.mark.parametrize("path", ["ds-hello.b2frame", "README.md"])
def test_byte_strings_are_indexed_as_uint8(shared_stack: Stack, path: str) -> None:
    raw = (example_root() / path).read_bytes()
    source = np.frombuffer(b"Hello world!" * 100 if path.endswith("frame") else raw, "u1")
    found = _array(_get(shared_stack, path, indices=[[[3, -1], [0, 3]]]))
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, source[np.array([[3, -1], [0, 3]])])


@pytest.mark.parametrize("name", ["a", "b", "c", "d"])
def test_field_is_an_array_of_its_own_dtype(shared_stack: Stack, name: str) -> None:
    source = _source("ds-1d-fields.b2nd")[name]
    for query, expected in [
        ({}, source),
        ({"slice_": "5:990:3"}, source[5:990:3]),
        ({"slice_": "7"}, source[7]),
        ({"indices": [[999, 0, 0]]}, source[[999, 0, 0]]),
    ]:
        found = _array(_get(shared_stack, "ds-1d-fields.b2nd", field=name, **query))
        assert found.dtype == source.dtype
        np.testing.assert_array_equal(found, expected)


def test_fields_may_be_nested_and_have_a_shape(stack: Stack, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    values = np.zeros(50, [("p", [("x", "<f4", (3,)), ("y.z", "<i2")]), ("p.q", "<i8")])
    values["p"]["x"] = np.arange(150).reshape(50, 3)
    values["p"]["y.z"] = values["p.q"] = np.arange(50)
    blosc2.asarray(values, chunks=(10,), blocks=(5,), urlpath=str(root / "a.b2nd"))
    stack.start(foo=root)
    x = _array(_get(stack, "a.b2nd", field="p.x", slice_="8:22"))
    np.testing.assert_array_equal(x, values["p"]["x"][8:22])
    x = _array(_get(stack, "a.b2nd", field="p.x", indices=[[[49, 1]]]))
    np.testing.assert_array_equal(x, values["p"]["x"][np.array([[49, 1]])])
    for name in ("p.y.z", "p.q"):
        assert _array(_get(stack, "a.b2nd", field=name)).tolist() == list(range(50))
    assert _array(_get(stack, "a.b2nd", field="p", slice_="3")) == values["p"][3]
    assert _get(stack, "a.b2nd", field="p.x.y").status == 400


def test_post_takes_what_get_takes(shared_stack: Stack) -> None:
    source = _source("dir2/ds-4d.b2nd")
    whole = _post(shared_stack, "dir2/ds-4d.b2nd", {})
    np.testing.assert_array_equal(_array(whole), source)
    part = _post(shared_stack, "dir2/ds-4d.b2nd", {"slice_": "1, :, 2", "indices": None})
    np.testing.assert_array_equal(_array(part), source[1, :, 2])
    text = _post(shared_stack, "dir2/ds-4d.b2nd", {"indices": "[null,[2,0]]"})
    np.testing.assert_array_equal(_array(text), source[:, [2, 0]])


@pytest.mark.parametrize(
    ("body", "status", "what"),
    [
        ({"slce": ""}, 400, "unknown key in the body 'slce'"),
        ({"slice_": 3}, 400, "slice_ is int"),
        ({"field": ["a"]}, 400, "field is list"),
        ({"slice_": "1", "indices": [1]}, 400, "slice_ and indices exclude each other"),
        ({"indices": {"0": 1}}, 400, "indices is an object"),
        ({"indices": "[1"}, 400, "indices can't be read as JSON"),
        ({"indices": [[9999]]}, 400, "index 9999 is out of bounds for axis 0"),
        ({"field": "x"}, 400, "field 'x' does not exist"),
        ([], 400, "has to be a JSON object"),
        (b"{", 400, "the body can't be read as JSON"),
        (b"[" * 100_000, 400, "the body can't be read as JSON"),
        (b'{"indices": [[' + b"0," * INDEX_ENTRIES + b"0]]}", 413, "INDEX_ENTRIES"),
        (b" " * (DEFAULTS.web.body_bytes + 1), 413, "BODY_BYTES"),
        ({"indices": [[[0]] * 2100, [0] * 2100]}, 413, "INDEX_POINTS"),
    ],
)
def test_bad_body_is_refused_with_its_reason(
    shared_stack: Stack, body: Any, status: int, what: str
) -> None:
    answer = _post(shared_stack, "dir2/ds-4d.b2nd", body)
    assert (answer.status, what in answer.json["detail"]) == (status, True), answer.json


@pytest.mark.parametrize(
    ("query", "what"),
    [
        ("indices=[0]&slice_=1", "exclude"),
        ("indices=[[0]]&indices=[[1]]", "'indices' is given twice"),
        ("indices=nan", "JSON"),
        ("field=a", "field 'a' does not exist"),
        ("field=", "field '' does not exist"),
    ],
)
def test_bad_query_is_refused_with_its_reason(shared_stack: Stack, query: str, what: str) -> None:
    answer = ask(shared_stack, f"{DS}?{query}")
    assert (answer.status, what in answer.json["detail"]) == (400, True), answer.json
