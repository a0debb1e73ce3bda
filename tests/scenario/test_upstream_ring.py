"""Subscribers that take roots from each other."""

from __future__ import annotations

from tests.conftest import Stack, eventually, example_root
from tests.web.asking import ask


def test_a_ring_of_upstreams_is_seen_and_a_miss_is_refused_at_once(stack: Stack) -> None:
    """The first one has the root of a broker, which goes away; then both have the cache only."""
    ports = [stack.hold_port().address for _ in range(2)]
    urls = [f"http://{port}" for port in ports]
    stack.start_broker()
    publisher = stack.spawn_publisher("foo", example_root(), "pub")
    for name, port, other in (("sub", ports[0], urls[1]), ("second", ports[1], urls[0])):
        broker = stack.broker if name == "sub" else ""
        given = "--http", port, "--broker", broker, "--upstream", other
        stack.spawn(name, "cat2sub", *given).ready()
    publisher.ready()
    stack.url = urls[1]
    target = "api/fetch/foo/ds-1d.b2nd?slice_=3:5"
    eventually(lambda: ask(stack, target).status == 200)
    stack.stop("pub")
    stack.url = urls[0]
    missing = "api/fetch/foo/dir2/ds-4d.b2nd"
    eventually(lambda: ask(stack, missing).status == 503)
    eventually(lambda: "as it would come back here" in stack.log("sub"))
    for stack.url in urls:
        assert ask(stack, target).status == 200
        assert ask(stack, missing).json["name"] == "root-offline"
