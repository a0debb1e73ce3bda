"""Calls that find datasets and look at their values without reading all of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from caterva2.client.transport import Transport
from caterva2.client.types import RemotePath
from caterva2.errors import BadRequest
from caterva2.rest import paths
from caterva2.rest.paths import relative

if TYPE_CHECKING:
    from caterva2.client.read.overview import Overview


class Exploring:
    """Searches, statistics and overviews, and what the user may do.

    Attributes
    ----------
    transport : Transport
    """

    transport: Transport

    def search(
        self, words: str = "", path: RemotePath = "", *, dtype: str = "", ndim: int | None = None,
        shape: str | int | tuple[int | None, ...] = "", attr: str = "",
        limit: int = 100, after: str = "",
    ) -> dict[str, Any]:  # fmt: skip
        """Search at the subscriber for datasets that fit all of the given criteria.

        Parameters
        ----------
        words : str
            All of which are in the dataset's path, whatever their case.
        path : str
            The root or directory to search in; all roots that are subscribed to by default.
        dtype : str
            Such as ``float32``, or a kind: ``bool``, ``int``, ``uint``, ``float``, ``complex``,
            ``bytes``, ``text``, ``date``, ``duration`` or ``record``.
        ndim : int, optional
        shape : int, tuple or str
            In which None stands for any size; as text ``"100,*,3"``.
        attr : str
            ``"NAME"``, an attribute that there is, or ``"NAME=VALUE"``.
        limit : int
            Most datasets of this page.
        after : str
            ``after`` of the page before.

        Returns
        -------
        dict
            ``found`` has descriptions by ``ROOT/PATH``, ``after`` begins the next page, None at the
            end, and ``total`` counts all that fit. That is None while some are ``unknown``: their
            descriptions are being fetched, so search again; or if roots were ``skipped``.
        """
        query = {"q": words, "dtype": dtype, "attr": attr, "after": after, "limit": str(limit)}
        query |= {"shape": _shape(shape), "ndim": "" if ndim is None else str(ndim)}
        given = {name: text for name, text in query.items() if text}
        target = relative(paths.SEARCH, path) if str(path) else relative(paths.SEARCH_ALL)
        return self.transport.json(dict, "GET", target, given)

    def stats(
        self, path: RemotePath, key: Any = None, *, field: str = "", part: str = "",
        exact: bool | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """Return statistics of the values of a part of an array, made by the subscriber.

        Parameters
        ----------
        path : str
        key : numpy key, optional
            Of integers, slices and ``...``; all of it by default.
        field : str
            One field of records.
        part : str
            Of complex numbers: ``abs``, ``angle``, ``real`` or ``imag``.
        exact : bool, optional
            Of all values, or of a sample. Without it, that depends on how long it would take.

        Returns
        -------
        dict
            ``count``, ``nan``, ``infinite``, ``min``, ``max``, ``mean``, ``std``, the percentiles
            ``p1`` and ``p99``, ``histogram``, ``sampled``, and whether they are ``exact``.
        """
        query = _survey(key, field=field, part=part, exact=exact)
        return self.transport.json(dict, "GET", relative(paths.STATS, path), query)

    def overview(
        self, path: RemotePath, key: Any = None, *, size: int | None = None, reduce: str = "",
        field: str = "", part: str = "", exact: bool | None = None,
    ) -> Overview:  # fmt: skip
        """Return a plane or line of an array made small by the subscriber, with its statistics.

        Parameters
        ----------
        path, key, field, part, exact
            As of `stats`; the key leaves one axis or two. By default these are the last two.
        size : int, optional
            Bins along an axis at most; 1,024 by default.
        reduce : str
            What becomes of a bin's items: ``minmax`` (the default), ``max``, ``min``, ``mean`` or
            ``nearest``.
        """
        from caterva2.client.read import overview

        query = _survey(key, field=field, part=part, exact=exact)
        query |= {"size": str(size)} if size is not None else {}
        query |= {"reduce": reduce} if reduce else {}
        return overview.read(self.transport, relative(paths.OVERVIEW, path), query)

    def table(
        self, path: RemotePath, key: Any = None, *, start: int = 0, count: int | None = None,
        fields: Sequence[str] = (), sort: str = "", where: str = "",
    ) -> dict[str, Any]:  # fmt: skip
        """Return some rows of a table, sorted and filtered by the subscriber.

        Parameters
        ----------
        path : str
            Records, an array of one or two dimensions, or a table of Blosc2.
        key : numpy key, optional
            Of an array: integers and slices, which leave one axis or two.
        start : int
            The first row, of those that match.
        count : int, optional
            Rows at most; 100 by default.
        fields : sequence of str
            Columns; by default the first 100. A number names one of an array without fields.
        sort : str
            A column, with ``-`` in front for the opposite order.
        where : str
            Conditions such as ``n > 5 & name == 'x'``.

        Returns
        -------
        dict
            ``fields``, their ``dtypes``, ``rows`` as lists, ``start``, and the ``total`` of rows
            that match. That is None while some rows were not looked at: ask again; ``at_least``
            are known to match.
        """
        from caterva2.arrays import selection

        query = {
            "slice_": selection.to_string(key) if key is not None and key != () else "",
            "start": str(start), "count": "" if count is None else str(count), "sort": sort,
            "fields": json.dumps(list(fields)) if fields else "", "filter": where,
        }  # fmt: skip
        given = {name: text for name, text in query.items() if text}
        return self.transport.json(dict, "GET", relative(paths.TABLE, path), given)

    def me(self) -> dict[str, Any]:
        """Return who asks (``user``, None without a login), and what that user may do."""
        return self.transport.json(dict, "GET", relative(paths.ME))

    def status(self) -> dict[str, Any]:
        """Return how the subscriber is: broker, roots, cache, and ``problems`` with what to do."""
        return self.transport.json(dict, "GET", relative(paths.STATUS))


def _shape(shape: str | int | tuple[int | None, ...]) -> str:
    if isinstance(shape, str):
        return shape
    sizes = shape if isinstance(shape, tuple | list) else (shape,)
    if not all(size is None or isinstance(size, int) for size in sizes):
        raise BadRequest(f"shape is {shape!r:.80}, it has to be of integers and None")
    return ",".join("*" if size is None else str(size) for size in sizes)


def _survey(key: Any, **given: Any) -> dict[str, str]:
    """Return the parameters that statistics and overviews share."""
    from caterva2.arrays import selection

    exact = given.pop("exact")
    query: dict[str, str] = {
        "slice_": selection.to_string(key) if key is not None and key != () else "",
        "exact": "" if exact is None else str(int(exact)), **given,
    }  # fmt: skip
    return {name: text for name, text in query.items() if text}
