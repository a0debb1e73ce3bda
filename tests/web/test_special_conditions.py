"""Conditional changes of special roots: of the version that is meant, or 412 and no change."""

from __future__ import annotations

import email.utils
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import caterva2
from tests.unit.samples import array_frame
from tests.web.asking import Answer, ask
from tests.web.places import Places, form

FRAME = array_frame(np.arange(12).reshape(6, 2))
MORE = array_frame(np.arange(12, 16).reshape(2, 2))
LONG_AGO = "Sat, 01 Jan 2000 00:00:00 GMT"
Change = Callable[..., Answer]


def send(places: Places, target: str, content: bytes, **headers: str) -> Answer:
    body, kind = form(content)
    cookie = places.cookie("ann")
    return ask(places.stack, target, "POST", body, Content_Type=kind, **cookie, **headers)


def post(places: Places, target: str, body: object = None, **headers: str) -> Answer:
    text = None if body is None else json.dumps(body)
    return ask(places.stack, target, "POST", text, **places.cookie("ann"), **headers)


def transfer(places: Places, how: str, path: str, **headers: str) -> Answer:
    return post(places, f"api/{how}/", {"src": path, "dst": f"{path}.{how}.b2nd"}, **headers)


CHANGES: dict[str, Change] = {
    "upload": lambda places, path, **given: send(places, f"api/upload/{path}", MORE, **given),
    "append": lambda places, path, **given: send(places, f"api/append/{path}", MORE, **given),
    "remove": lambda places, path, **given: post(places, f"api/remove/{path}", **given),
    "move": lambda places, path, **given: transfer(places, "move", path, **given),
    "copy": lambda places, path, **given: transfer(places, "copy", path, **given),
}


@pytest.fixture(params=CHANGES)
def change(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def stored(places: Places, path: str) -> str:
    """Store an array, and give its tag."""
    assert send(places, f"api/upload/{path}", FRAME).status == 200
    return places.get("ann", f"api/fetch/{path}").headers["etag"]


def test_change_of_another_version_is_refused_and_changes_nothing(
    places: Places, change: str
) -> None:
    path = f"@shared/if/{change}.b2nd"
    tag = stored(places, path)
    version = places.get("ann", f"api/info/{path}").json["etag"]
    before = places.names("ann", "@shared")
    for given in ({"If_Match": '"other"'}, {"If_Unmodified_Since": LONG_AGO}):
        refused = CHANGES[change](places, path, **given)
        assert (refused.status, refused.headers["etag"]) == (412, f'"{version}"')
        assert refused.json["name"] == "precondition-failed"
        assert places.get("ann", f"api/fetch/{path}").headers["etag"] == tag
        assert places.names("ann", "@shared") == before


def test_change_of_the_version_that_is_meant_happens(places: Places, change: str) -> None:
    path = f"@shared/when/{change}.b2nd"
    future = email.utils.formatdate(4e9, usegmt=True)
    for n, given in enumerate(("tag", "*", "")):
        one = path.replace(".b2nd", f"{n}.b2nd")
        tag = stored(places, one)
        held = {"If_Match": tag if given == "tag" else given} if given else {}
        done = CHANGES[change](places, one, If_Unmodified_Since=future, **held)
        assert done.status == 200, done.body


def test_what_is_not_there_has_no_version(places: Places, change: str) -> None:
    refused = CHANGES[change](places, "@shared/if/absent.b2nd", If_Match="*")
    assert refused.status in (404, 400) if change in ("move", "append") else 412
    assert "if/absent.b2nd" not in places.names("ann", "@shared")


def test_directory_has_no_version(places: Places) -> None:
    stored(places, "@shared/tree/x.b2nd")
    for how in ("move", "copy"):
        assert transfer(places, how, "@shared/tree", If_Match="*").status == 412
    assert post(places, "api/remove/@shared/tree", If_Match="*").status == 412
    assert "tree/x.b2nd" in places.names("ann", "@shared")
    assert post(places, "api/remove/@shared/tree", If_Unmodified_Since=LONG_AGO).status == 200


def test_one_of_two_changes_of_a_version_happens(places: Places) -> None:
    for _ in range(5):
        tag = stored(places, "@shared/if/race.b2nd")
        with ThreadPoolExecutor(2) as pool:
            both = [
                pool.submit(CHANGES[how], places, "@shared/if/race.b2nd", If_Match=tag)
                for how in ("upload", "append")
            ]
            assert sorted(one.result().status for one in both) == [200, 412]


def test_published_dataset_is_copied_in_the_version_that_is_meant(places: Places) -> None:
    tag = places.get("ann", "api/info/foo/ds-1d.b2nd").json["etag"]
    body = {"src": "foo/ds-1d.b2nd", "dst": "@shared/if/copy-of-foo.b2nd"}
    assert post(places, "api/copy/", body, If_Match='"other"').status == 412
    assert "if/copy-of-foo.b2nd" not in places.names("ann", "@shared")
    assert post(places, "api/copy/", body, If_Match=f'"{tag}"').status == 200


def test_archive_is_unpacked_as_a_new_directory_which_has_no_version(places: Places) -> None:
    target = "api/upload/@shared/if/?unpack=1"
    assert send(places, target, b"no archive", If_Match="*").status == 412


@pytest.mark.parametrize("other", ["other", "absent"])
def test_client_changes_the_version_that_it_names(places: Places, other: str) -> None:
    frame = array_frame(np.arange(3))
    with places.client("ann") as client:
        path = str(client.upload(frame, "@shared/client/x.b2nd"))
        absent = "@shared/client/absent.b2nd"
        target, tag = (path, "other") if other == "other" else (absent, "*")
        with pytest.raises(caterva2.PreconditionFailed, match="412"):
            client.upload(frame, target, etag=tag)
        with pytest.raises(caterva2.HttpError):
            client.append(target, np.arange(2), etag=tag)
        for change in (client.move, client.copy):
            with pytest.raises(caterva2.HttpError):
                change(target, "@shared/client/y.b2nd", etag=tag)
        with pytest.raises(caterva2.PreconditionFailed):
            client.remove(target, etag=tag)
        assert client.get_list("@shared/client") == ["x.b2nd"]
        etag = client.get(path).meta["etag"]
        assert client.append(path, np.arange(2), etag=etag) == (5,)
        with pytest.raises(caterva2.PreconditionFailed):
            client.append(path, np.arange(2), etag=etag)
        etag = client.get(path).meta["etag"]
        client.upload(frame, path, etag=etag)
        client.copy(path, "@shared/client/y.b2nd", etag=client.get(path).meta["etag"])
        client.move(path, "@shared/client/z.b2nd", etag=client.get(path).meta["etag"])
        for name in ("y", "z"):
            client.remove(f"@shared/client/{name}.b2nd", etag="*")


@pytest.mark.parametrize("etag", ["", 'a"b', "a,b", "x\r\ny: z", "\u20ac", "a" * 200, 7])
def test_client_refuses_what_is_no_version(places: Places, etag: Any) -> None:
    with places.client("ann") as client, pytest.raises(caterva2.BadRequest, match="not a version"):
        client.remove("@shared/nothing.b2nd", etag=etag)
