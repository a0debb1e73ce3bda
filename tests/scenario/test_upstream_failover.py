"""A root that the mirror of a site and an upstream have: the mirror's, while that is up"""

from __future__ import annotations

import pytest

from tests.conftest import HASTY, Stack, eventually
from tests.fault.rewriting import Readers, write
from tests.web.asking import ask


@pytest.mark.slow
def test_a_root_is_the_upstreams_while_the_broker_has_none(stack: Stack) -> None:
    """It is of one origin: no reader goes back at a turn, and each sees what changed meanwhile."""
    stack.configure(HASTY)
    source = stack.directory / "source"
    source.mkdir()
    write(source / "a.b2nd", 0)
    stack.start_services(foo=source)
    lab, upstream, near = stack.broker, stack.url, stack.hold_port().address
    ports = "--xsub", "127.0.0.1:0", "--xpub", "127.0.0.1:0"

    def start_near() -> None:
        stack.spawn("bro-near", "cat2bro", "--endpoint", near, *ports).ready()

    def start_mirror() -> None:
        stack.broker = lab
        stack.start_subscriber("mirror", ("--publish", "foo", "--publish-to", near))

    start_near()
    start_mirror()
    stack.broker = near
    eventually(lambda: "root foo is at" in stack.log("bro-near"))
    stack.start_subscriber("home", ("--upstream", upstream))
    home, at_home = stack.client, stack.url

    def is_the_upstreams() -> bool:
        return stack.log("home").rpartition("root foo is ")[2].startswith(upstream)

    def changes_to(value: int) -> None:
        write(source / "a.b2nd", value)
        eventually(lambda: value in readers.seen, 60)

    eventually(lambda: home.subscribe("foo") == "Ok")
    eventually(lambda: not is_the_upstreams())
    readers = Readers(home)
    try:
        changes_to(1)
        stack.kill("mirror")
        eventually(is_the_upstreams, 60)
        changes_to(2)
        start_mirror()
        eventually(lambda: not is_the_upstreams(), 60)
        changes_to(3)
        for ended in ("mirror", "bro-near"):  # so that no broker says that it is gone
            stack.kill(ended)
        eventually(is_the_upstreams, 60)
        changes_to(4)
        stack.url = at_home
        assert "warning" not in ask(stack, "api/fetch/foo/a.b2nd?slice_=0").headers
        start_near()
        start_mirror()
        eventually(lambda: not is_the_upstreams(), 60)
        changes_to(5)
    finally:
        readers.stop()
    print(f"{readers.reads} reads, {len(readers.errors)} refused {set(readers.errors)}")
    assert (readers.mixed, readers.back) == (0, 0)
