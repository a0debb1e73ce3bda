"""The REST interface as HTTP: ranges, entity tags, HEAD, errors."""

from __future__ import annotations

import pytest

from tests.conftest import Stack, eventually, example_root
from tests.web.asking import Answer, ask

STORED = "api/fetch/foo/dir1/ds-2d.b2nd"


def test_roots_have_the_contracts_fields(shared_stack: Stack) -> None:
    listed = ask(shared_stack, "api/roots").json
    assert listed.keys() == {"foo", "@public"}
    root = listed["foo"]
    assert root.keys() == {"name", "http", "subscribed"}
    assert (root["name"], root["subscribed"]) == ("foo", True)
    assert root["http"].startswith("127.0.0.1:")


def test_start_page_has_the_paths_to_go_on_with(shared_stack: Stack) -> None:
    start = ask(shared_stack, "").json
    assert "foo" in ask(shared_stack, start["roots"].lstrip("/")).json
    assert ask(shared_stack, start["openapi"].lstrip("/")).json["openapi"].startswith("3.")


def test_stored_answer_carries_what_the_contract_says(shared_stack: Stack) -> None:
    answer = ask(shared_stack, STORED)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-length"] == str(len(answer.body))
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["content-disposition"] == 'attachment; filename="ds-2d.b2nd"'


def test_plain_file_is_fetched_as_a_frame_with_its_own_suffix(shared_stack: Stack) -> None:
    answer = ask(shared_stack, "api/fetch/foo/README.md")
    assert answer.headers["content-disposition"] == 'attachment; filename="README.md.b2"'
    assert answer.body[2:10] == b"b2frame\0"


def test_download_gives_a_plain_files_own_bytes(shared_stack: Stack) -> None:
    answer = ask(shared_stack, "api/download/foo/README.md")
    assert answer.headers["content-disposition"] == 'attachment; filename="README.md"'
    assert answer.headers["content-type"].startswith("text/markdown")
    assert answer.body.startswith(b"# The example root")


def test_known_version_is_not_sent_again(shared_stack: Stack) -> None:
    etag = ask(shared_stack, STORED).headers["etag"]
    answer = ask(shared_stack, STORED, If_None_Match=etag)
    assert (answer.status, answer.body) == (304, b"")
    assert ask(shared_stack, STORED, If_None_Match='"other"').status == 200


@pytest.mark.parametrize("target", [STORED, "api/download/foo/README.md"])
def test_not_modified_has_the_headers_of_the_whole_answer(stack: Stack, target: str) -> None:
    stack.start(foo=example_root())
    stored = ask(stack, target).headers["etag"]
    version = stored.partition("-")[0].strip('"')

    def known() -> Answer:
        return ask(stack, target, If_None_Match=f'"{version}"')

    assert (known().status, known().headers["etag"]) == (304, stored)
    assert "warning" not in known().headers
    stack.stop("pub-foo")
    eventually(lambda: ask(stack, "api/roots").json["foo"].get("offline"))
    assert known().headers["warning"] == ask(stack, target).headers["warning"]


@pytest.mark.parametrize(
    "target",
    ["api/roots", "api/list/foo", "api/info/foo/ds-1d.b2nd", STORED, "healthz", "metrics",
     "api/download/foo/README.md", "api/chunk/foo/ds-1d.b2nd?nchunk=0"],
)  # fmt: skip
def test_head_works_wherever_get_does(shared_stack: Stack, target: str) -> None:
    ask(shared_stack, target)
    head, whole = ask(shared_stack, target, "HEAD"), ask(shared_stack, target)
    assert (head.status, head.body) == (whole.status, b"")
    if target != "metrics":
        assert head.headers["content-length"] == whole.headers["content-length"]


def test_head_and_known_versions_fetch_nothing(stack: Stack) -> None:
    stack.start(foo=example_root())
    target = "api/fetch/foo/ds-2d-fields.b2nd"
    etag = ask(stack, "api/info/foo/ds-2d-fields.b2nd").headers["etag"]
    before = stack.metric("fetched_chunks_total")
    assert ask(stack, target, "HEAD").status == 200
    assert ask(stack, target, If_None_Match=etag).status == 304
    assert stack.metric("fetched_chunks_total") == before


@pytest.mark.parametrize(
    ("target", "status", "name"),
    [
        ("api/list/nope", 404, "not-found"),
        ("api/info/foo/nope", 404, "not-found"),
        ("api/info/foo/%2e%2e/secret", 400, "bad-name"),
        ("api/info/foo/a%00b", 400, "bad-name"),
        ("api/list/", 400, "bad-name"),
        ("api/fetch/foo", 400, "bad-name"),
        ("api/fetch/foo/ds-1d.b2nd?slice_=1:2:3:4", 400, "bad-selection"),
        ("api/fetch/foo/ds-1d.b2nd?slice_=99999", 400, "bad-selection"),
        ("api/fetch/foo/ds-1d.b2nd?slce=1", 400, "bad-request"),
        ("api/chunk/foo/ds-1d.b2nd?nchunk=10", 404, "not-found"),
        ("api/chunk/foo/ds-1d.b2nd?nchunk=-1", 404, "not-found"),
        ("api/chunk/foo/ds-1d.b2nd?nchunk=--5", 400, "bad-request"),
        ("api/chunk/foo/ds-1d.b2nd", 400, "bad-request"),
        ("api/chunks/foo/ds-1d.b2nd?ids=10", 404, "not-found"),
        ("api/chunks/foo/ds-1d.b2nd?ids=0:999999999999", 404, "not-found"),
        ("api/chunks/foo/ds-1d.b2nd?ids=3,1", 400, "bad-request"),
        ("api/chunks/foo/ds-1d.b2nd?ids=1:1", 400, "bad-request"),
        ("api/chunks/foo/ds-1d.b2nd?ids=1,", 400, "bad-request"),
    ],
)
def test_error_is_json_with_its_name(
    shared_stack: Stack, target: str, status: int, name: str
) -> None:
    answer = ask(shared_stack, target)
    assert (answer.status, answer.json["name"]) == (status, name)
    assert isinstance(answer.json["detail"], str)
    assert answer.json["retry"] == "no"


def test_what_is_missing_names_the_dataset_that_may_be_meant(shared_stack: Stack) -> None:
    for target in ("info/foo/ds-1d", "fetch/foo/ds-1d", "chunk/foo/ds-1d?nchunk=0"):
        said = ask(shared_stack, f"api/{target}").json["detail"]
        assert said == "foo/ds-1d does not exist; did you mean foo/ds-1d.b2nd?"
    done = shared_stack.cli("info", "foo/ds-1d")
    assert done.returncode == 1
    assert "did you mean foo/ds-1d.b2nd?" in done.stderr


def test_unknown_paths_and_methods_are_json_too(shared_stack: Stack) -> None:
    unknown = ask(shared_stack, "api/nothing").json
    assert (unknown["detail"], unknown["name"]) == ("Not Found", "not-found")
    answer = ask(shared_stack, "api/roots", "POST")
    assert (answer.status, answer.json["detail"]) == (405, "Method Not Allowed")
    assert "GET" in answer.headers["allow"]


def test_directory_and_root_answer_a_group(shared_stack: Stack) -> None:
    for path, files in (("foo", 10), ("foo/dir1", 2), ("foo/dir1/", 2)):
        group = ask(shared_stack, f"api/info/{path}").json
        assert (group["kind"], group["nfiles"]) == ("group", files)


def test_info_has_the_publishers_figures_and_no_path_of_the_server(shared_stack: Stack) -> None:
    info = ask(shared_stack, "api/info/foo/dir1/ds-2d.b2nd").json
    assert info["schunk"]["cbytes"] > 0
    assert info["schunk"]["urlpath"] is None
    assert info["mtime"].endswith("Z")


def test_unsubscribing_stops_and_subscribing_starts_again(shared_stack: Stack) -> None:
    assert ask(shared_stack, "api/subscribe/foo", "DELETE").json == "Ok"
    assert ask(shared_stack, "api/roots").json["foo"]["subscribed"] is None
    assert ask(shared_stack, "api/subscribe/foo", "POST").json == "Ok"
    assert ask(shared_stack, "api/roots").json["foo"]["subscribed"] is True


def test_without_accounts_there_is_no_user(shared_stack: Stack) -> None:
    assert ask(shared_stack, "api/me").json == {
        "user": None, "superuser": False, "accounts": False, "register": False, "quota": None,
        "special": False, "compute": True,
    }  # fmt: skip
