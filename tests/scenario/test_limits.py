"""Limits of ``caterva2.toml`` hold in running services, and nonsense does not start."""

from __future__ import annotations

import urllib.error

import pytest

from caterva2.errors import StartError
from tests.conftest import Stack, example_root

LIMITS = """
[limits.broker]
roots = 1

[limits.publisher]
catalog_page = 3

[limits.web]
output_bytes = "1KB"
small_output = "1KB"
ranges = 2
body_bytes = "1KB"
form_bytes = "1KB"

[limits.subscriber]
event_listeners = 1
"""


def refusal(stack: Stack, target: str, **headers: str) -> tuple[int, str]:
    with pytest.raises(urllib.error.HTTPError) as caught:
        stack.open(target, **headers)
    with caught.value as answer:
        return answer.code, answer.read().decode()


def test_limits_of_the_file_hold(stack: Stack) -> None:
    (stack.directory / "caterva2.toml").write_text(LIMITS)
    client = stack.start(foo=example_root())

    assert client.fetch("foo/ds-1d.b2nd", slice(0, 100)).nbytes == 800
    code, text = refusal(stack, "api/fetch/foo/ds-1d.b2nd?slice_=0:200")
    assert (code, "OUTPUT_BYTES" in text, "1000" in text) == (413, True, True), text
    code, text = refusal(stack, "api/download/foo/README.md", Range="bytes=0-1,3-4,6-7")
    assert (code, "RANGES" in text) == (416, True), text

    with stack.open("api/events") as listening:
        listening.readline()
        code, text = refusal(stack, "api/events")
        assert (code, "EVENT_LISTENERS" in text) == (429, True), text

    second = stack.spawn_publisher("bar", example_root(), "pub-bar")
    assert second.process.wait(15) == 1
    assert "ROOTS (1)" in second.last_words()


@pytest.mark.parametrize("command", ["cat2bro", "cat2pub", "cat2sub"])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[limits.wire]\nretires = 3\n", "unknown limit 'retires' in [limits.wire]; did you mean"),
        ("[limits.wire]\nfirst_byte = nan\n", "[limits.wire] first_byte = nan: it has to be from"),
    ],
)
def test_a_service_does_not_start_with_senseless_limits(
    stack: Stack, command: str, text: str, message: str
) -> None:
    (stack.directory / "caterva2.toml").write_text(text)
    given = ("foo", str(example_root())) if command == "cat2pub" else ()
    child = stack.spawn("it", command, *given)
    with pytest.raises(StartError):
        child.ready()
    assert child.process.wait(10) == 2
    assert child.last_words().startswith(f"{command}: caterva2.toml: {message}")
