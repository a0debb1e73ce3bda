"""The server does what its OpenAPI document says, whatever is asked."""

from __future__ import annotations

import copy
import functools
import re
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, assume, settings
from schemathesis.checks import load_all_checks
from schemathesis.specs.openapi import checks

from caterva2.web.api import accounts as auth
from caterva2.web.api import data, special
from caterva2.web.openapi import accounts as openapiauth
from caterva2.web.openapi import document
from caterva2.web.openapi import special as special_paths
from tests.conftest import Stack, example_root
from tests.web.asking import ask, cookie_of, login

load_all_checks()
SUPER, WORD = "super@example.com", "correct horse"
PATHS = [
    f"foo/{path.relative_to(example_root())}"
    for path in sorted(example_root().rglob("*"))
    if path.is_file()
]


def _document(more: Any = None) -> Any:
    """The document, with names in it that exist: any others are mostly unknown."""
    made = copy.deepcopy(document.document(more))
    parameters = made["components"]["parameters"]
    known = {
        "path": ["foo", "foo/dir1", "@public", "@public/x.b2nd", *PATHS], "root": ["foo"],
        "slice_": ["", ":", "1:3", "-1", "...", "::2, 1", "0, 1:2"],
        "field": ["a", "b", "c"],
        "Range": ["bytes=0-3", "bytes=-5", "bytes=0-1,4-9", "bytes=99999-"],
    }  # fmt: skip
    for name, values in known.items():
        schema = parameters[name]["schema"]
        parameters[name]["schema"] = {"anyOf": [{"enum": values}, {"enum": values}, schema]}
    return made


schema = schemathesis.openapi.from_dict(_document(special_paths.PATHS))


# The stream of events has no end, so it has tests of its own.
@schema.exclude(path="/api/events").parametrize()
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_answer_is_as_documented(case: schemathesis.Case, shared_stack: Stack) -> None:
    # What is longer is refused, in plain text, before it is even a request.
    assume(len(case.as_transport_kwargs()["url"]) < 10_000)
    assume(sum(map(len, map(repr, case.query.values()))) < 5_000)
    _validate(case, shared_stack.url)


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


WRITING = special_paths.PATHS
ACCOUNTS = WRITING | openapiauth.paths(registering=True)
account_schema = schemathesis.openapi.from_dict(_document(ACCOUNTS))


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


@account_schema.include(path=list(ACCOUNTS)).parametrize()
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
def test_answer_about_accounts_is_as_documented(case: schemathesis.Case, accounts: Stack) -> None:
    assume(SUPER not in case.as_transport_kwargs()["url"])
    assume(len(repr(case.body)) < 4000)  # more than FORM_BYTES is refused unseen
    logged_in = "logout" not in case.path
    _validate(case, accounts.url, **({"Cookie": _cookie(accounts)} if logged_in else {}))


@functools.cache
def _cookie(stack: Stack) -> str:
    return cookie_of(login(stack, SUPER, WORD))


def test_document_tells_of_accounts_where_there_are_any(accounts: Stack) -> None:
    assert ask(accounts, "api/openapi.json").json == document.document(ACCOUNTS)


def test_document_is_served(shared_stack: Stack) -> None:
    answer = ask(shared_stack, "api/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json == document.document(WRITING)


def test_document_has_every_route_and_no_other() -> None:
    routes = {
        (re.sub(r":path\}", "}", route.path), method)
        for route in [*data.ROUTES, *special.ROUTES, *auth.routes(registering=True)]
        for method in route.methods or ()
    }
    told = {
        (path, method.upper())
        for path, methods in document.document(ACCOUNTS)["paths"].items()
        for method in methods
    }
    assert told == routes


@pytest.mark.parametrize("path", PATHS)
def test_info_of_each_dataset_is_as_documented(shared_stack: Stack, path: str) -> None:
    answer = ask(shared_stack, f"api/info/{path}")
    kind = "Array" if path.endswith(".b2nd") else "Bytes"
    assert answer.json.keys() == document.SCHEMAS[kind]["properties"].keys()
