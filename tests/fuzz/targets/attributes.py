"""Packed attributes and entries of vlmeta, and what is shown of them."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field

from caterva2.arrays.attributes import value_of
from caterva2.errors import BadMessage, SourceCorrupt
from caterva2.formats import zarr_attributes
from caterva2.frames import attributes, metadata


@dataclass
class Content:
    vlmeta: dict[str, bytes] = field(default_factory=dict)
    attrs: dict[str, bytes] = field(default_factory=dict)


def one(data: bytes) -> None:
    with contextlib.suppress(SourceCorrupt):
        metadata.decode(data)
    attributes.noted({attributes.TYPED: data})
    for content in (Content(vlmeta={"a": data}), Content(attrs={"a": data})):
        with contextlib.suppress(SourceCorrupt):
            attributes.check(content)
            show(content)


def show(content: Content) -> None:
    forms = attributes.forms(content)
    json.dumps(forms)
    json.dumps(zarr_attributes.attributes(forms))
    for form in forms.values():
        with contextlib.suppress(BadMessage):
            value_of(form)
