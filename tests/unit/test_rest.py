"""The types of the HTTP contract fit the model, and the paths fit the operations."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from pydantic import TypeAdapter

from caterva2 import errors, model
from caterva2.names import DatasetPath, RootName
from caterva2.rest import events, paths
from caterva2.rest.errors import Error, error_body
from caterva2.rest.prefetch import Prefetch
from caterva2.rest.service import Health
from caterva2.web.api import accounts, tokens
from caterva2.web.app import OPERATIONS

FOO = RootName("foo")
EVENTS: list[tuple[Any, type]] = [
    (model.RootEvent(FOO, "up", "h:1"), events.RootEvent),
    (model.ChangeEvent(FOO, DatasetPath("a"), "put", "v"), events.ChangeEvent),
    (model.Lost(FOO), events.LostEvent),
]


@pytest.mark.parametrize(("event", "kind"), EVENTS)
def test_event_of_the_model_is_one_of_the_contract(event: Any, kind: type) -> None:
    TypeAdapter(kind).validate_python(dataclasses.asdict(event))
    assert type(event) in events.NAMES


def test_fields_of_a_prefetch_and_of_health_are_those_of_the_model() -> None:
    fields = {field.name for field in dataclasses.fields(model.PrefetchStatus)}
    assert fields == set(Prefetch.__annotations__)
    fields = {field.name for field in dataclasses.fields(model.Health)}
    assert fields | {"status"} == set(Health.__annotations__)


@pytest.mark.parametrize("info", [{}, {"etag": "v2"}])
def test_body_of_an_error_has_details_only_where_there_are_any(info: dict[str, object]) -> None:
    body = error_body(errors.StaleVersion("it changed", info=info))
    TypeAdapter(Error).validate_python(body)
    assert body.get("info", {}) == info
    assert ("info" in body) == bool(info)


def test_each_path_has_an_operation() -> None:
    named = {one for name, one in vars(paths).items() if name.isupper() and isinstance(one, str)}
    offered = (*OPERATIONS, *accounts.OPERATIONS, *tokens.OPERATIONS, accounts.REGISTER)
    assert named == {operation.path for operation in offered}


def test_each_path_and_method_has_one_operation() -> None:
    offered = (*OPERATIONS, *accounts.OPERATIONS, *tokens.OPERATIONS, accounts.REGISTER)
    calls = [(operation.method, operation.path) for operation in offered]
    assert len(calls) == len(set(calls))


@pytest.mark.parametrize(
    ("path", "name", "expected"),
    [
        (paths.ROOTS, "", "api/roots"),
        (paths.FETCH, "foo/{a}", "api/fetch/foo/{a}"),
        (paths.DELETE_USER, "ann@example.com", "api/deluser/ann@example.com"),
    ],
)
def test_client_requests_the_paths_of_the_contract(path: str, name: str, expected: str) -> None:
    assert paths.relative(path, name) == expected
