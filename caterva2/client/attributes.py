"""Attributes of remote objects, as Python values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from caterva2.arrays.attributes import value_of
from caterva2.errors import BadMessage, RootOffline
from caterva2.runtime.printable import printable


def known(path: object, forms: Mapping[str, Any] | None) -> Attributes:
    """Return the attributes of a path; raise `RootOffline` if the subscriber sent none."""
    if forms is None:
        raise RootOffline("its attributes can't be fetched now", subject=str(path))
    return Attributes(forms)


class Attributes(Mapping[str, Any]):
    """Attributes by their names, read only.

    Their values are scalars and arrays of numpy, text, bytes, a `Reference`, which is the path that
    a reference leads to, and None for an attribute without a value. Text, references and arrays of
    variable length are in arrays of objects.

    Parameters
    ----------
    forms : mapping of str to dict
        As the subscriber returns them.
    """

    def __init__(self, forms: Mapping[str, Any]) -> None:
        self._forms = forms

    def __getitem__(self, name: str) -> Any:
        """Return the value of an attribute.

        Raises
        ------
        KeyError
        BadMessage
            If this version of the client does not know its type.
        """
        try:
            return value_of(self._forms[name])
        except BadMessage as error:
            raise BadMessage(f"attribute {name!r}: {error.detail}") from None

    def __contains__(self, name: object) -> bool:
        return name in self._forms

    def __iter__(self) -> Iterator[str]:
        return iter(self._forms)

    def __len__(self) -> int:
        return len(self._forms)

    def __repr__(self) -> str:
        return printable(f"<Attributes: {dict(self)!r}>")
