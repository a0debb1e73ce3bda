"""Parameters of overviews, statistics and images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, get_args

from starlette.requests import Request

from caterva2.arrays import fields, selection
from caterva2.arrays.binning import Reduce
from caterva2.arrays.numbers import Part
from caterva2.arrays.overviews import Survey
from caterva2.arrays.selection import Selection
from caterva2.errors import BadRequest, BadSelection, TooLarge
from caterva2.limits import OverviewLimits, constants
from caterva2.model import DatasetInfo
from caterva2.rest.values.overviews import SIZE
from caterva2.web.params import queries

_REDUCTIONS, _PARTS = get_args(Reduce), get_args(Part)


@dataclass(frozen=True, slots=True)
class SurveyParams:
    """Parameters of a request, not yet applied to a dataset."""

    slice_: str | None
    field: str | None
    part: Part
    size: int
    reduce: Reduce
    exact: bool | None
    """Whether a sample will not do; None where the request leaves it open."""

    def survey(self, info: DatasetInfo, axes: int | None, *, colours: bool = False) -> Survey:
        """Apply the parameters to a dataset.

        Parameters
        ----------
        info : DatasetInfo
        axes : int or None
            Axes that a selection may have at most. Without a slice, the middle of the axes before
            them is taken. None allows any number.
        colours : bool
            Whether a last axis of three or four bytes is colours, and no axis of the plane.

        Raises
        ------
        BadSelection
            If the dataset has no such part, or its values are no numbers.
        """
        field = fields.find(info, self.field) if self.field else ()
        coloured = colours and is_coloured(info, field)
        if self.slice_ or axes is None:
            chosen = selection.parse(self.slice_, info.shape)
        else:
            chosen = _middle(info.shape, axes + coloured)
        shape = chosen.result_shape
        if axes is not None and not 1 <= len(shape) <= axes + coloured:
            raise BadSelection(
                f"this selects {len(shape)} axes of {list(info.shape)}, it has to be 1 to {axes}: "
                "slice_ takes an integer for each other axis"
            )
        made = Survey(chosen, field, self.part, self.size, self.reduce)
        made.dtype(info)
        return made


def of_query(request: Request, limits: OverviewLimits, *, binned: bool = True) -> SurveyParams:
    """Parse the parameters of a request's query; `BadRequest` if one makes no sense."""
    given = queries.once(request)
    exact = queries.choice(given, "exact", ("", "0", "1"), "")
    part: Any = queries.choice(given, "part", _PARTS, "")
    reduce: Any = queries.choice(given, "reduce", _REDUCTIONS, "minmax")
    field = given.get("field")
    if field is not None and len(field) > constants.DTYPE_LENGTH:
        raise BadRequest(f"field has {len(field)} characters, it is too long")
    size = queries.integer(given, "size", SIZE, 1, limits.overview_size, "OVERVIEW_SIZE")
    return SurveyParams(
        given.get("slice_"), field, part, size if binned else 0, reduce,
        None if not exact else exact == "1",
    )  # fmt: skip


def is_coloured(info: DatasetInfo, field: fields.FieldPath = ()) -> bool:
    """Return whether the last axis of an array looks like red, green, blue, and maybe alpha."""
    shape, dtype = info.shape, fields.dtype_of(info, field)
    return len(shape) in (3, 4) and shape[-1] in (3, 4) and dtype.str == "|u1"


def check(survey: Survey, limits: OverviewLimits) -> None:
    """Refuse bins that would take too much memory; `TooLarge` names the limit."""
    bins = math.prod(survey.grid(survey.selection.result_shape).bins) if survey.size else 0
    if bins > limits.overview_bins:
        raise TooLarge(f"this has {bins} bins, OVERVIEW_BINS is {limits.overview_bins}: take less")


def _middle(shape: tuple[int, ...], axes: int) -> Selection:
    """Select the last axes, at the middle of those before them."""
    before = max(0, len(shape) - axes)
    key = tuple(size // 2 for size in shape[:before])
    return selection.normalise(key if all(shape[:before]) else slice(None), shape)
