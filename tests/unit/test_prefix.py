"""The prefix below which a proxy offers a subscriber: what is asked, redirections, cookies"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

import caterva2.pages
from caterva2.errors import ConfigError
from caterva2.rest import paths
from caterva2.web.server.prefix import Prefix, Prefixed

DATA = Prefix("/data/")
PAGES = Path(caterva2.pages.__file__).parent


@pytest.mark.parametrize(
    "text",
    ["data", "/", "//", "//evil.example", "/a/../b", "/a//b", "/a b", "/a?b", "/%61", "/x" * 101,
     "/api", "/api/x", "/../x", "/.hidden", "/é", "/a\n"],
)  # fmt: skip
def test_what_is_no_prefix_is_refused(text: str) -> None:
    if text.strip("/"):
        with pytest.raises(ConfigError, match="prefix"):
            Prefix(text, paths.FIRST_PARTS)
    else:
        assert not Prefix(text)


def test_first_parts_are_those_of_all_paths() -> None:
    known = {
        value.split("/")[1]
        for name, value in vars(paths).items()
        if name.isupper() and isinstance(value, str)
    }
    assert known - {""} == paths.FIRST_PARTS


@pytest.mark.parametrize(
    ("asked", "served"),
    [
        ("/data", "/"), ("/data/", "/"), ("/data?x=1", "/?x=1"),
        ("/data/api/list/r", "/api/list/r"),
        ("/api/list/r", "/api/list/r"), ("/database/x", "/database/x"), ("/", "/"), ("*", "*"),
        ("/data//evil.example", "//evil.example"), ("/api/list/data/x", "/api/list/data/x"),
        ("/data/data", "/"), ("/data/data/data/api/x", "/api/x"), ("/data/database", "/database"),
    ],
)  # fmt: skip
def test_prefix_is_removed_where_there_is_one(asked: str, served: str) -> None:
    assert DATA.without(asked.encode()) == served.encode()
    assert Prefix("").without(asked.encode()) == asked.encode()


def answered(path: str, *headers: tuple[str, str]) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Return the scope that an application gets, and the headers that its client does."""
    seen: list[Any] = []

    async def app(scope: Any, _: Any, send: Any) -> None:
        seen.append(scope)
        raw = [(name.encode(), value.encode()) for name, value in headers]
        await send({"type": "http.response.start", "status": 200, "headers": raw})

    async def send(message: Any) -> None:
        seen.append(message["headers"])

    scope = {"type": "http", "path": path, "raw_path": path.encode()}
    asyncio.run(Prefixed(app, DATA)(scope, None, send))  # type: ignore[arg-type]
    return seen[0], [(name.decode(), value.decode()) for name, value in seen[1]]


def test_application_finds_its_prefix_beside_the_path() -> None:
    scope, _ = answered("/data/api/list/r")
    assert (scope["path"], scope["raw_path"]) == ("/api/list/r", b"/api/list/r")
    assert scope["root_path"] == "/data"


@pytest.mark.parametrize(
    ("location", "sent"),
    [
        ("/", "/data/"), ("/login?next=%2Fdata%2Fx", "/data/login?next=%2Fdata%2Fx"),
        ("/data/roots/x", "/data/roots/x"), ("/data", "/data"), ("?a=1", "?a=1"),
        ("//evil.example/", "//evil.example/"), ("/\\evil.example", "/\\evil.example"),
        ("https://id.example/data/", "https://id.example/data/"),
        ("https://lab.example/idp/authorize", "https://lab.example/idp/authorize"),
        ("http://lab.example/roots?a=1", "/data/roots?a=1"),  # Starlette, of a slash at the end
    ],
)  # fmt: skip
def test_redirections_stay_below_the_prefix(location: str, sent: str) -> None:
    assert answered("/roots/", ("location", location))[1] == [("location", sent)]


@pytest.mark.parametrize(
    ("cookie", "sent"),
    [
        ("a=1; HttpOnly; Path=/; SameSite=lax", "a=1; HttpOnly; Path=/data; SameSite=lax"),
        ("a=1; path=/login/oidc", "a=1; path=/data/login/oidc"), ("a=1", "a=1"),
    ],
)  # fmt: skip
def test_cookies_are_of_the_prefix(cookie: str, sent: str) -> None:
    assert answered("/", ("set-cookie", cookie))[1] == [("set-cookie", sent)]


def test_pages_have_no_path_that_lacks_the_prefix() -> None:
    absolute = re.compile(r"""(?:href|src|action)="/|["'`]/(?:api|roots|static|view|zarr)\b""")
    sources = [one for kind in ("html", "js") for one in PAGES.rglob(f"*.{kind}")]
    assert len(sources) > 50
    for source in sources:
        if "plots" not in source.parts:  # bundled, and given its address
            assert not absolute.findall(source.read_text()), source
