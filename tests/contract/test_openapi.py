"""The server does what its OpenAPI document says, for any request."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

import pytest
from pydantic import TypeAdapter

from caterva2.model import JSON
from caterva2.rest import paths
from caterva2.rest.datasets import Array, Bytes
from caterva2.web.api import accounts as account_api
from caterva2.web.api import tokens
from caterva2.web.app import OPERATIONS
from caterva2.web.openapi.document import document as make_document
from caterva2.web.operation import Operation, routes
from tests.conftest import Stack, example_root
from tests.contract.accountstack import accounts
from tests.thoroughness import some
from tests.web.asking import ask

__all__ = ["accounts"]

PATHS = [
    f"foo/{path.relative_to(example_root())}"
    for path in sorted(example_root().rglob("*"))
    if path.is_file()
]
EVERYTHING = (*OPERATIONS, *account_api.OPERATIONS, *tokens.OPERATIONS, account_api.REGISTER)


@functools.cache  # it takes as long as dozens of requests
def document(*, with_accounts: bool) -> JSON:
    """The document of a subscriber with or without accounts."""
    return make_document(EVERYTHING if with_accounts else OPERATIONS)


def _named(operation: object) -> str:
    return f"{operation.method} {operation.path}" if isinstance(operation, Operation) else ""


def _targets(operation: Operation) -> Iterator[str]:
    """Yield requests for what exists and for what does not; the stream of events has no end."""
    if operation.path == paths.EVENTS or operation.method == "DELETE":
        return
    for path in [
        *some(PATHS[::3], 3),
        "foo",
        "foo/dir1",
        "foo/nope",
        "nope/x",
        "@public",
        "foo/ds-1d/c/0",
    ]:
        target = operation.path.replace("{path}", path).replace("{root}", path.split("/")[0])
        yield target.removeprefix("/")
        if any(parameter.name == "slice_" for parameter in operation.parameters):
            yield f"{target}?slice_=1:3".removeprefix("/")
        if "{" not in operation.path:
            break


@pytest.mark.parametrize("operation", OPERATIONS, ids=_named)
def test_answer_is_as_documented(operation: Operation, shared_stack: Stack) -> None:
    """`test_openapi_requests.py` sends random requests."""
    described = document(with_accounts=False)["paths"][operation.path][operation.method.lower()]
    declared: dict[int, TypeAdapter[object]] = {}
    for target in _targets(operation):
        body = None if operation.body is None else "{}"
        answer = ask(shared_stack, target, operation.method, body, Content_Type="application/json")
        reply = described["responses"].get(str(answer.status))
        assert reply is not None, (target, answer.status)
        if answer.status == 304 or not answer.body:
            continue
        kind = answer.headers["content-type"].partition(";")[0]
        assert reply["content"].keys() & {kind, "*/*"}, (target, answer.status, kind)
        if kind == "application/json" and answer.status in operation.replies:
            if answer.status not in declared:  # it takes as long as several answers
                kinds = operation.replies[answer.status].content
                declared[answer.status] = TypeAdapter(kinds[kind])
            declared[answer.status].validate_json(answer.body, strict=True)


def test_document_has_accounts_where_there_are_any(accounts: Stack) -> None:
    assert ask(accounts, "api/openapi.json").json == document(with_accounts=True)


def test_document_is_served(shared_stack: Stack) -> None:
    answer = ask(shared_stack, "api/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json == document(with_accounts=False)


@pytest.mark.parametrize("place", ["", "/lab/c2"])
def test_document_leads_to_the_server_behind_any_prefix(place: str) -> None:
    [server] = document(with_accounts=True)["servers"]
    at = f"https://example.org{place}"
    assert urljoin(f"{at}{paths.OPENAPI}", server["url"]).rstrip("/") == at


def test_document_has_every_route_and_no_other() -> None:
    routed = {
        (re.sub(r":path\}", "}", route.path), method)
        for route in routes(EVERYTHING)
        for method in route.methods or ()
    }
    documented = {
        (path, method.upper())
        for path, methods in document(with_accounts=True)["paths"].items()
        for method in methods
    }
    assert documented == routed


@pytest.mark.parametrize("operation", EVERYTHING, ids=_named)
def test_every_call_is_in_the_documentation(operation: Operation) -> None:
    text = (Path(__file__).parents[2] / "docs" / "rest.md").read_text()
    prefix = paths.prefix(operation.path).rstrip("/") or "/"
    named = [line for line in text.splitlines() if re.search(f"[ `]{re.escape(prefix)}", line)]
    assert any(re.search(rf"`{operation.method}\b|, `{operation.method}\b", line) for line in named)


def test_every_schema_is_used_and_defined() -> None:
    made = document(with_accounts=True)
    used = set(re.findall(r"#/components/schemas/(\w+)", json.dumps(made)))
    streamed = {"RootEvent", "ChangeEvent", "LostEvent", "OverviewHead"}  # parts of other bodies
    assert used | streamed == made["components"]["schemas"].keys()


@pytest.mark.parametrize("path", PATHS)
def test_info_of_each_dataset_is_as_documented(shared_stack: Stack, path: str) -> None:
    answer = ask(shared_stack, f"api/info/{path}")
    kind = Array if path.endswith(".b2nd") else Bytes
    TypeAdapter(kind).validate_python(answer.json, strict=True)
    assert "cached" in answer.json
