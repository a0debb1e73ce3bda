"""Random requests, as the OpenAPI document allows them and others: answers are as it says."""

from __future__ import annotations

import functools
import json
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis.strategies import one_of

from caterva2.rest import paths
from caterva2.web.api import accounts as account_api
from caterva2.web.api import special, tokens, trash, uploads
from caterva2.web.app import OPERATIONS
from caterva2.web.openapi.document import document
from caterva2.web.operation import Operation
from tests.conftest import Stack
from tests.contract.accountstack import SUPER, WORD, accounts
from tests.contract.test_openapi import PATHS
from tests.web.asking import cookie_of, login

__all__ = ["accounts"]

pytestmark = pytest.mark.slow  # schemathesis, which makes the requests, is large

CHUNKS = [
    "foo/ds-1d/c/0", "foo/dir1/ds-2d/c/1/1", "foo/dir1/ds-2d/c/9/9", "foo/ds-sc-attr/c",
    "foo/ds-1d/3", "foo/dir1/ds-2d/.zarray", "foo/.zmetadata", "foo@nope/ds-1d/c/0",
]  # fmt: skip
EXAMPLES = 40
"""Requests to each operation."""
CHANGING = (
    *special.OPERATIONS,
    *uploads.OPERATIONS,
    *trash.OPERATIONS,
    *account_api.OPERATIONS,
    *tokens.OPERATIONS,
    account_api.REGISTER,
)
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
def _send(operation: Operation, send: Callable[[Any], None]) -> None:
    """Send random requests to an operation: such as its document allows, and others."""
    import schemathesis
    from schemathesis import GenerationMode

    schema = schemathesis.openapi.from_dict(_document([operation]))
    described = [found.ok() for found in schema.get_all_operations()]  # HEAD too, where GET is
    modes = product(described, GenerationMode)
    requests: Any = one_of([one.as_strategy(generation_mode=mode) for one, mode in modes])
    chosen = settings(
        max_examples=EXAMPLES * len(described), suppress_health_check=list(HealthCheck)
    )
    chosen(given(case=requests)(send))()


def _named(operation: object) -> str:
    return f"{operation.method} {operation.path}" if isinstance(operation, Operation) else ""


# The stream of events has no end, so it has tests of its own.
@pytest.mark.parametrize(
    "operation", [one for one in OPERATIONS if one.path != paths.EVENTS], ids=_named
)
def test_answer_is_as_documented(operation: Operation, shared_stack: Stack) -> None:
    def send(case: Any) -> None:
        # What is longer is refused, in plain text, before it is even a request.
        assume(len(case.as_transport_kwargs()["url"]) < 10_000)
        assume(sum(map(len, map(repr, case.query.values()))) < 5_000)
        _validate(case, shared_stack.url)

    _send(operation, send)


def _validate(case: Any, url: str, **headers: str) -> None:
    import schemathesis.checks
    from schemathesis.specs.openapi import checks

    schemathesis.checks.load_all_checks()
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


@pytest.mark.parametrize("operation", CHANGING, ids=_named)
def test_answer_about_accounts_is_as_documented(operation: Operation, accounts: Stack) -> None:
    headers = {} if operation.path == paths.LOGOUT else {"Cookie": _cookie(accounts)}

    def send(case: Any) -> None:
        assume(SUPER not in case.as_transport_kwargs()["url"])
        assume(len(repr(case.body)) < 4000)  # more than FORM_BYTES is refused unseen
        _validate(case, accounts.url, **headers)

    _send(operation, send)


@functools.cache
def _cookie(stack: Stack) -> str:
    return cookie_of(login(stack, SUPER, WORD))


CHECKS = (
    "status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance,negative_data_rejection,unsupported_method,not_a_server_error"
)


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
