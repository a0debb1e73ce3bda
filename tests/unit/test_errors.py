"""The exception tree: codes, what a retry helps, and the way over the wire and processes."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import pytest

from caterva2 import errors
from caterva2.errors import CatervaError, StaleVersion, from_wire


def _tree(kind: type[CatervaError]) -> Iterator[type[CatervaError]]:
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield child
            yield from _tree(child)


KINDS = sorted(set(_tree(CatervaError)), key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", KINDS)
def test_the_drawing_shows_every_class(kind: type[CatervaError]) -> None:
    assert errors.__doc__ is not None
    assert f" {kind.__name__} " in errors.__doc__


@pytest.mark.parametrize("kind", KINDS)
def test_the_http_status_is_an_error(kind: type[CatervaError]) -> None:
    assert 400 <= kind.status < 600


@pytest.mark.parametrize("name", sorted(errors.WIRE_ERRORS))
def test_a_wire_name_comes_back_as_its_class(name: str) -> None:
    error = from_wire(name, "why", {"etag": "e"}, 20)
    assert type(error) is errors.WIRE_ERRORS[name]
    assert (error.name, error.detail, error.info, error.after_ms) == (
        name,
        "why",
        {"etag": "e"},
        20,
    )


def test_a_subject_stands_in_front_of_the_reason() -> None:
    error = errors.SourceCorrupt("it is torn", subject="a.b2nd")
    assert (str(error), error.detail, error.subject) == ("a.b2nd: it is torn",) * 2 + ("a.b2nd",)


def test_another_subject_takes_the_place_of_the_first() -> None:
    error = errors.Busy("too much work", subject="a.b2nd", info={"n": 1}, after_ms=5)
    other = error.about("foo/a.b2nd")
    assert type(other) is errors.Busy
    assert (str(other), other.info, other.after_ms) == ("foo/a.b2nd: too much work", {"n": 1}, 5)
    assert other.about("foo/a.b2nd") is other


def test_a_reason_that_names_its_subject_gets_no_second_name() -> None:
    error = errors.SourceCorrupt("foo/a.b2nd is damaged again and again")
    assert error.about("foo/a.b2nd") is error
    assert str(error.about("foo/b.b2nd")) == "foo/b.b2nd: foo/a.b2nd is damaged again and again"


@pytest.mark.parametrize(
    ("detail", "subject"),
    [("a.b2nd: it is torn", "a.b2nd"), ("it is torn", ""), ("b/a.b2nd: it is torn", "")],
)
def test_the_subject_is_found_at_the_beginning_of_a_wire_text(detail: str, subject: str) -> None:
    error = from_wire("source-corrupt", detail, subject="a.b2nd")
    assert (error.detail, error.subject) == (detail, subject)


def test_an_unknown_wire_name_is_internal() -> None:
    assert type(from_wire("from-the-future", "x")) is errors.Internal


@pytest.mark.parametrize("kind", [errors.ConfigError, errors.StartError])
def test_local_errors_have_no_wire_name(kind: type[CatervaError]) -> None:
    assert kind not in errors.WIRE_ERRORS.values()


def test_transient_errors_help_a_retry() -> None:
    later = {kind.__name__ for kind in KINDS if kind.retry == "later"}
    now = {kind.__name__ for kind in KINDS if kind.retry == "now"}
    assert later == {"Busy", "CacheFull", "SlowDown", "RootOffline", "DeadlineExceeded"}
    assert now == {"StaleVersion", "Damaged"}


def test_an_error_survives_pickling() -> None:
    original = StaleVersion("changed", subject="a", info={"etag": "e"}, after_ms=3)
    error = pickle.loads(pickle.dumps(original))
    assert type(error) is StaleVersion
    assert (str(error), error.subject) == ("a: changed", "a")
    assert (error.info, error.after_ms) == ({"etag": "e"}, 3)
