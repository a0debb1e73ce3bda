"""The server does what its OpenAPI document says, for any request."""

from __future__ import annotations

import functools
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, assume, given, settings
from hypothesis.strategies import one_of
from pydantic import TypeAdapter
from schemathesis import GenerationMode
from schemathesis.checks import load_all_checks
from schemathesis.specs.openapi import checks

from caterva2.rest import paths
from caterva2.rest.datasets import Array, Bytes
from caterva2.web.api import accounts as account_api
from caterva2.web.api import special
from caterva2.web.app import OPERATIONS
from caterva2.web.openapi.document import document
from caterva2.web.operation import Operation, routes
from tests.conftest import Stack, example_root
from tests.web.asking import ask, cookie_of, login

load_all_checks()
SUPER, WORD = "super@example.com", "correct horse"
PATHS = [
    f"foo/{path.relative_to(example_root())}"
    for path in sorted(example_root().rglob("*"))
    if path.is_file()
]
CHUNKS = [
    "foo/ds-1d/c/0", "foo/dir1/ds-2d/c/1/1", "foo/dir1/ds-2d/c/9/9", "foo/ds-sc-attr/c",
    "foo/ds-1d/3", "foo/dir1/ds-2d/.zarray", "foo/.zmetadata", "foo@nope/ds-1d/c/0",
]  # fmt: skip
EXAMPLES = [6, pytest.param(40, marks=pytest.mark.slow)]
"""Requests to each operation."""
EVERYTHING = (*OPERATIONS, *account_api.OPERATIONS, account_api.REGISTER)
CHANGING = (*special.OPERATIONS, *account_api.OPERATIONS, account_api.REGISTER)
KNOWN: dict[tuple[str, str], list[str]] = {
    ("path", "path"): ["foo", "foo/dir1", "@public", "@public/x.b2nd", *PATHS, *CHUNKS],
    ("path", "root"): ["foo"],
    ("query", "slice_"): ["", ":", "1:3", "-1", "...", "::2, 1", "0, 1:2"],
    ("query", "field"): ["a", "b", "c"],
    ("header", "Range"): ["bytes=0-3", "bytes=-5", "bytes=0-1,4-9", "bytes=99999-"],
}
"""Values of parameters that exist: most others are unknown to the server."""


def _document(operations: Sequence[Operation]) -> Any:
    """Make the document, with `KNOWN` in it."""
    made = document(operations)
    for methods in made["paths"].values():
        for operation in methods.values():
            for parameter in operation["parameters"]:
                values = KNOWN.get((parameter["in"], parameter["name"]))
                if values:
                    either = {"enum": values}
                    parameter["schema"] = {"anyOf": [either, either, parameter["schema"]]}
    return made


# Hypothesis runs in each test, as `schema.parametrize()` would make up requests for all calls
# whenever any test is collected.
def _send(operation: Operation, examples: int, send: Callable[[schemathesis.Case], None]) -> None:
    """Send random requests to an operation: such as its document allows, and others."""
    schema = schemathesis.openapi.from_dict(_document([operation]))
    described = [found.ok() for found in schema.get_all_operations()]  # HEAD too, where GET is
    requests = one_of(
        one.as_strategy(generation_mode=mode) for one in described for mode in GenerationMode
    )
    chosen = settings(
        max_examples=examples * len(described), suppress_health_check=list(HealthCheck)
    )
    chosen(given(case=requests)(send))()


def _named(operation: object) -> str:
    return f"{operation.method} {operation.path}" if isinstance(operation, Operation) else ""


# The stream of events has no end, so it has tests of its own.
@pytest.mark.parametrize("examples", EXAMPLES)
@pytest.mark.parametrize(
    "operation", [one for one in OPERATIONS if one.path != paths.EVENTS], ids=_named
)
def test_answer_is_as_documented(operation: Operation, examples: int, shared_stack: Stack) -> None:
    def send(case: schemathesis.Case) -> None:
        # What is longer is refused, in plain text, before it is even a request.
        assume(len(case.as_transport_kwargs()["url"]) < 10_000)
        assume(sum(map(len, map(repr, case.query.values()))) < 5_000)
        _validate(case, shared_stack.url)

    _send(operation, examples, send)


def _validate(case: schemathesis.Case, url: str, **headers: str) -> None:
    case.call_and_validate(
        base_url=url,
        headers=headers,
        checks=[
            checks.status_code_conformance,
            checks.content_type_conformance,
            checks.response_headers_conformance,
            checks.response_schema_conformance,
            checks.negative_data_rejection,
            checks.unsupported_method,
            schemathesis.checks.not_a_server_error,
        ],
        timeout=20,
    )


@pytest.fixture(scope="module")
def accounts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A subscriber with accounts, and nothing else."""
    made = Stack(tmp_path_factory.mktemp("accounts"))
    made.secret = "keeps sessions"
    (made.directory / "caterva2.toml").write_text("[subscriber]\nregister = true\n")
    try:
        made.add_user(SUPER, WORD, "--superuser")
        made.start_subscriber()
        yield made
    finally:
        made.stop_all()


@pytest.mark.parametrize("examples", EXAMPLES)
@pytest.mark.parametrize("operation", CHANGING, ids=_named)
def test_answer_about_accounts_is_as_documented(
    operation: Operation, examples: int, accounts: Stack
) -> None:
    headers = {} if operation.path == paths.LOGOUT else {"Cookie": _cookie(accounts)}

    def send(case: schemathesis.Case) -> None:
        assume(SUPER not in case.as_transport_kwargs()["url"])
        assume(len(repr(case.body)) < 4000)  # more than FORM_BYTES is refused unseen
        _validate(case, accounts.url, **headers)

    _send(operation, examples, send)


@functools.cache
def _cookie(stack: Stack) -> str:
    return cookie_of(login(stack, SUPER, WORD))


CHECKS = (
    "status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance,negative_data_rejection,unsupported_method,not_a_server_error"
)


@pytest.mark.slow
@pytest.mark.parametrize("operations", [OPERATIONS, CHANGING], ids=["reading", "changing"])
def test_answers_to_edge_cases_are_as_documented(
    operations: Sequence[Operation], shared_stack: Stack, accounts: Stack, tmp_path: Path
) -> None:
    """Each bound of each parameter, and what is just beyond: 25 requests to each operation."""
    (tmp_path / "openapi.json").write_text(json.dumps(_document(operations)))
    url, given = shared_stack.url, list[str]()
    if operations is CHANGING:
        url, given = accounts.url, [f"--header=Cookie: {_cookie(accounts)}"]
    command = [
        "schemathesis.cli", "run", "openapi.json", f"--url={url}", "--phases=coverage",
        f"--checks={CHECKS}", f"--exclude-path={paths.EVENTS}", f"--exclude-path={paths.LOGOUT}",
    ]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", *command, *given],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert re.search(r"[1-9][0-9]+ generated", done.stdout)


def test_document_has_accounts_where_there_are_any(accounts: Stack) -> None:
    assert ask(accounts, "api/openapi.json").json == document(EVERYTHING)


def test_document_is_served(shared_stack: Stack) -> None:
    answer = ask(shared_stack, "api/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json == document(OPERATIONS)


def test_document_has_every_route_and_no_other() -> None:
    routed = {
        (re.sub(r":path\}", "}", route.path), method)
        for route in routes(EVERYTHING)
        for method in route.methods or ()
    }
    documented = {
        (path, method.upper())
        for path, methods in document(EVERYTHING)["paths"].items()
        for method in methods
    }
    assert documented == routed


def test_every_schema_is_used_and_defined() -> None:
    made = document(EVERYTHING)
    used = set(re.findall(r"#/components/schemas/(\w+)", json.dumps(made)))
    streamed = {"RootEvent", "ChangeEvent", "LostEvent", "OverviewHead"}  # parts of other bodies
    assert used | streamed == made["components"]["schemas"].keys()


@pytest.mark.parametrize("path", PATHS)
def test_info_of_each_dataset_is_as_documented(shared_stack: Stack, path: str) -> None:
    answer = ask(shared_stack, f"api/info/{path}")
    kind = Array if path.endswith(".b2nd") else Bytes
    TypeAdapter(kind).validate_python(answer.json, strict=True)
    assert "cached" in answer.json
