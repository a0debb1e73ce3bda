"""Overviews, statistics and images over HTTP: what is read, kept, refused and shown."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import blosc2
import numpy as np
import pytest

from caterva2.rest.values import layout
from tests.conftest import Stack
from tests.unit.test_images import decoded
from tests.web.asking import Answer, ask

RNG = np.random.default_rng(11)
HOT = np.zeros((2000, 1500), np.float32)
HOT[1234, 567] = 1e6
CUBE = RNG.integers(0, 1000, (20, 64, 48), np.int16)
WIDE = RNG.standard_normal((3000, 400)).astype(np.float32)
COLOURS = RNG.integers(0, 256, (5, 30, 40, 3), np.uint8)
WAVES = (RNG.standard_normal((60, 50)) + 1j).astype(np.complex64)
RECORDS = np.zeros((100, 90), [("t", "<f8"), ("name", "S4")])
RECORDS["t"] = RNG.standard_normal((100, 90))
ARRAYS: dict[str, tuple[Any, dict[str, Any]]] = {
    "hot": (HOT, {}),
    "cube": (CUBE, {"chunks": (2, 64, 48)}),
    "wide": (WIDE, {"chunks": (300, 100), "blocks": (30, 10)}),
    "colours": (COLOURS, {}),
    "waves": (WAVES, {}),
    "records": (RECORDS, {}),
    "long": (np.arange(6000.0).reshape(3, 2000), {}),
    "empty": (np.empty((0, 5)), {}),
    "texts": (np.array(["a", "b"]), {}),
    "scalar": (np.array(2.5), {}),
}


@dataclass
class Served:
    stack: Stack

    def get(self, call: str, target: str, method: str = "GET", **headers: str) -> Answer:
        return ask(self.stack, f"api/{call}/data/{target}", method, **headers)

    def overview(self, target: str) -> tuple[Any, Any]:
        answer = self.get("overview", target)
        assert (answer.status, answer.headers["content-type"]) == (200, layout.MEDIA_TYPE)
        size = int.from_bytes(answer.body[4:8], "little")
        assert (8 + size) % 16 == 0
        import json

        head = json.loads(answer.body[8 : 8 + size])
        return head, np.frombuffer(answer.body, head["dtype"], -1, 8 + size).reshape(head["shape"])

    def refused(self, call: str, target: str) -> tuple[int, str]:
        answer = self.get(call, target)
        return answer.status, answer.json["detail"]

    def cached(self, name: str) -> int:
        count: int = self.get("info", f"{name}.b2nd").json["cached"]["nchunks"]
        return count


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    source = tmp_path_factory.mktemp("data")
    for name, (values, grid) in ARRAYS.items():
        blosc2.asarray(values, urlpath=str(source / f"{name}.b2nd"), **grid)
    (source / "notes.txt").write_bytes(b"some text " * 500)
    made = Stack(tmp_path_factory.mktemp("stack"))
    made.configure(
        '[limits.overviews]\noverview_exact = "2MiB"\noverview_sample = "256KiB"\n'
        "overview_size = 2048\noverview_bins = 1_000_000\n"
    )
    try:
        made.start(data=source)
        yield Served(made)
    finally:
        made.stop_all()


def test_a_plane_of_a_stack_costs_its_chunks_only(served: Served) -> None:
    head, found = served.overview("cube.b2nd?slice_=3&size=16&reduce=max")
    assert served.cached("cube") <= 1
    assert (found == CUBE[3].reshape(16, 4, 16, 3).max((1, 3))).all()
    p1, p99 = np.percentile(CUBE[3], (1, 99))
    assert head["full_shape"] == [64, 48] and head["bins"] == [16, 16] == head["shape"]
    assert (head["min"], head["max"], head["nan"]) == (CUBE[3].min(), CUBE[3].max(), 0)
    assert (head["p1"], head["p99"]) == pytest.approx((p1, p99))
    assert head["mean"] == pytest.approx(CUBE[3].mean()) and head["exact"]
    assert sum(head["histogram"]["counts"]) == CUBE[3].size


def test_without_a_slice_the_middle_plane_is_shown(served: Served) -> None:
    _, found = served.overview("cube.b2nd?reduce=nearest")
    assert (found == CUBE[10]).all()


def test_a_single_hot_pixel_survives(served: Served) -> None:
    for reduce in ("max", "minmax"):
        head, found = served.overview(f"hot.b2nd?size=256&reduce={reduce}&exact=1")
        shown = found[..., 1] if reduce == "minmax" else found
        assert head["max"] == 1e6 and shown[1234 // 8, 567 // 6] == 1e6
    drawn = served.get("image", "hot.b2nd?size=256&reduce=max&map=gray&exact=1")
    _, pixels = decoded(drawn.body)
    assert pixels[1234 // 8, 567 // 8] == 254 and (pixels == 254).sum() == 1


def test_what_takes_long_is_first_a_sample_and_exact_when_it_is_asked_for_again(
    served: Served,
) -> None:
    target = "wide.b2nd?size=100&reduce=mean"
    first = served.get("overview", target)
    head, rough = served.overview(f"{target}&exact=0")
    assert not head["exact"] and head["full_shape"] == [3000, 400]
    assert rough.shape != (100, 100) and head["count"] < WIDE.size / 4
    head, found = served.overview(target)
    assert head["exact"] and head["count"] == WIDE.size
    np.testing.assert_allclose(found, WIDE.reshape(100, 30, 100, 4).mean((1, 3)), atol=1e-6)
    second = served.get("overview", target)
    assert first.headers["etag"] != second.headers["etag"]
    again = served.get("overview", target, If_None_Match=second.headers["etag"])
    assert again.status == 304 and not again.body
    assert again.headers["cache-control"].startswith("private")
    old = served.get("overview", target, If_None_Match=first.headers["etag"])
    assert old.status == 200


def test_statistics_are_of_any_part(served: Served) -> None:
    for key, values in (("", CUBE), ("3:9,::2,5", CUBE[3:9, ::2, 5]), ("1,2,3", CUBE[1, 2, 3])):
        found = served.get("stats", f"cube.b2nd?slice_={key}").json
        assert found["exact"] and found["count"] == values.size
        assert (found["min"], found["max"]) == (values.min(), values.max())
        assert (found["mean"], found["std"]) == pytest.approx((values.mean(), values.std()))
    assert served.get("stats", "empty.b2nd").json["mean"] is None
    assert served.get("stats", "scalar.b2nd").json["max"] == 2.5
    assert served.get("stats", "notes.txt").json["max"] == ord("x")


def test_a_part_of_complex_numbers_and_a_field_of_records(served: Served) -> None:
    _, found = served.overview("waves.b2nd?part=angle&reduce=nearest")
    np.testing.assert_allclose(found, np.angle(WAVES), rtol=1e-6)
    _, found = served.overview("records.b2nd?field=t&reduce=nearest")
    assert (found == RECORDS["t"]).all()


@pytest.mark.parametrize(
    ("target", "shape"),
    [
        ("hot.b2nd?size=100", (100, 75)),
        ("wide.b2nd?size=300", (300, 40)),
        ("wide.b2nd?map=gray", (1000, 134)),
        ("long.b2nd?size=1000", (60, 1000)),
        ("long.b2nd?size=10", (1, 10)),
        ("colours.b2nd?size=30", (15, 20, 3)),
    ],
)
def test_an_image_has_the_proportions_of_its_plane_or_is_sixteen_times_as_long_as_wide(
    served: Served, target: str, shape: tuple[int, ...]
) -> None:
    _, pixels = decoded(served.get("image", f"{target}&exact=1").body)
    assert pixels.shape[: len(shape)] == shape
    _, sample = decoded(served.get("image", f"{target}&exact=0").body)
    assert max(sample.shape[:2]) <= 20 * min(sample.shape[:2])


def test_an_image_has_a_palette_and_one_of_colours_its_colours(served: Served) -> None:
    answer = served.get("image", "cube.b2nd?slice_=4&lo=0&hi=999&reduce=nearest")
    assert answer.status == 200 and answer.headers["content-type"] == "image/png"
    _, pixels = decoded(answer.body)
    expected = np.rint(np.clip(CUBE[4] / 999 * 254, 0, 254))
    assert np.abs(pixels[..., 0] - expected).max() <= 1
    _, pixels = decoded(served.get("image", "colours.b2nd?slice_=2").body)
    assert (pixels == COLOURS[2]).all()
    small = io.BytesIO(served.get("image", "colours.b2nd?size=10").body)
    assert decoded(small.getvalue())[1].shape == (8, 10, 3)
    log = served.get("image", "cube.b2nd?scale=log&map=inferno_r")
    assert log.status == 200
    again = served.get(
        "image", "cube.b2nd?scale=log&map=inferno_r", If_None_Match=log.headers["etag"]
    )
    assert again.status == 304
    other = served.get("image", "cube.b2nd?scale=log&map=gray", If_None_Match=log.headers["etag"])
    assert other.status == 200


@pytest.mark.parametrize(
    ("call", "target", "status", "words"),
    [
        ("overview", "cube.b2nd?slice_=:", 400, "selects 3 axes"),
        ("overview", "cube.b2nd?slice_=1,2,3", 400, "selects 0 axes"),
        ("overview", "cube.b2nd?size=0", 400, "size='0'"),
        ("overview", "cube.b2nd?size=99999", 400, "OVERVIEW_SIZE is 2048"),
        ("overview", "hot.b2nd?size=2000", 413, "OVERVIEW_BINS is 1000000"),
        ("overview", "cube.b2nd?reduce=median", 400, "reduce='median'"),
        ("overview", "cube.b2nd?size=5&size=6", 400, "given twice"),
        ("overview", "cube.b2nd?part=abs", 400, "complex"),
        ("overview", "texts.b2nd", 400, "no numbers"),
        ("stats", "records.b2nd", 400, "name one of its fields"),
        ("stats", "records.b2nd?field=name", 400, "no numbers"),
        ("stats", "cube.b2nd?size=5", 400, "unknown query parameter"),
        ("stats", "absent.b2nd", 404, "absent.b2nd"),
        ("image", "cube.b2nd?slice_=1,2", 400, "1 axis"),
        ("image", "empty.b2nd", 400, "no value"),
        ("image", "cube.b2nd?map=jet", 400, "map='jet'"),
        ("image", "cube.b2nd?lo=2&hi=1", 400, "above"),
        ("image", "cube.b2nd?lo=nan", 400, "finite"),
        ("image", "cube.b2nd?scale=log&lo=-1", 400, "positive"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(
    served: Served, call: str, target: str, status: int, words: str
) -> None:
    found, detail = served.refused(call, target)
    assert found == status and words in detail, detail


def test_an_overview_of_another_version_is_refused(served: Served) -> None:
    answer = served.get("overview", "cube.b2nd?slice_=3", If_Match='"0000"')
    assert answer.status == 412
    assert served.get("image", "cube.b2nd?slice_=3", "HEAD").status == 200
