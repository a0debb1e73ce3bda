"""What an origin signed is checked behind an upstream over HTTP"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import caterva2
from caterva2.client.errors import HttpError
from caterva2.signing import keys
from tests.conftest import Stack, eventually, example_root

HOME = """
[subscriber]
broker = ""
upstream = "{url}"
signing_keys = {{foo = "{key}"}}
"""


@pytest.mark.slow
def test_signatures_pass_an_upstream(tmp_path: Path) -> None:
    """With the right key all is read; with another one nothing is."""
    stack = Stack(tmp_path)
    try:
        stack.start(foo=example_root())
        [path] = tmp_path.rglob(keys.FILE)
        key = keys.read(path)
        assert key is not None
        right = home(stack, "right", key.public)
        paths = ["README.md", "ds-1d.b2nd", "dir1/ds-3d.b2nd", "ds-hello.b2frame"]
        for one in paths:
            got = right.download(f"foo/{one}", tmp_path / f"got-{Path(one).name}")
            same = stack.client.download(f"foo/{one}", tmp_path / f"lab-{Path(one).name}")
            assert got.read_bytes() == same.read_bytes()
        wrong = home(stack, "wrong", keys.make().public)
        with pytest.raises(HttpError, match="by none of the keys of the origin"):
            wrong.fetch("foo/ds-1d.b2nd")
    finally:
        stack.stop_all()


def home(stack: Stack, name: str, key: str) -> caterva2.Client:
    """Start a subscriber that takes the root over HTTP only."""
    conf = stack.directory / f"{name}.toml"
    conf.write_text(HOME.format(url=stack.url, key=key))
    child = stack.spawn(name, "cat2sub", "--conf", str(conf), "--http", "127.0.0.1:0")
    found = re.search(r"http://\S+:\d+", child.ready())
    assert found
    client = caterva2.Client(found[0])
    eventually(lambda: "foo" in client.get_roots())
    return client
