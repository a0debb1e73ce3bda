"""Attributes as a client has them: read only, and those of other versions of the subscriber."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import caterva2
from caterva2.client.attributes import Attributes
from caterva2.client.display import FileDescription
from caterva2.errors import BadMessage

FORMS: dict[str, Any] = {
    "a": {"dtype": "<i2", "shape": [], "value": 1},
    "of": {"dtype": "reference", "shape": [], "value": "/x"},
    "later": {"dtype": "quaternion", "shape": [], "value": [1, 2, 3, 4]},
}


def test_attributes_are_a_mapping_that_is_read_only() -> None:
    attrs = Attributes({"a": FORMS["a"]})
    assert attrs == {"a": 1}
    assert ("a" in attrs, "b" in attrs, len(attrs), attrs.get("b")) == (True, False, 1, None)
    assert type(attrs["a"]) is np.int16
    assert repr(attrs) == "<Attributes: {'a': np.int16(1)}>"
    with pytest.raises(TypeError):
        attrs["a"] = 2  # type: ignore[index]


def test_reference_is_a_path() -> None:
    found = Attributes(FORMS)["of"]
    assert isinstance(found, caterva2.Reference)
    assert found == "/x"


def test_type_of_a_later_version_is_refused_by_name() -> None:
    attrs = Attributes(FORMS)
    assert list(attrs) == ["a", "of", "later"]
    with pytest.raises(BadMessage, match="attribute 'later'"):
        attrs["later"]


def test_attributes_of_an_older_subscriber_are_those_of_vlmeta() -> None:
    found = FileDescription("foo/a.b2nd", {"schunk": {"vlmeta": {"a": "nan"}}})
    assert found.attrs == found.vlmeta == {"a": "nan"}
