"""Computations over datasets that a user may read, answered and not stored."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import WithJsonSchema
from starlette.requests import Request
from starlette.responses import Response

from caterva2.arrays import dtypes, selection
from caterva2.errors import TooLarge
from caterva2.limits import constants
from caterva2.model import Expression
from caterva2.rest import compute as compute_types
from caterva2.rest import media, paths, stream
from caterva2.rest.compute import OPERANDS_HEADER, Compute
from caterva2.rest.values import files, layout
from caterva2.runtime.retry import retry_stale_async
from caterva2.web import answers, conditions, streams, values
from caterva2.web.api.datasets import READING
from caterva2.web.disconnect import until_disconnected
from caterva2.web.operation import Body, Operation, Parameter, Reply
from caterva2.web.params import forms, queries
from caterva2.web.params.fetch import FetchRegion
from caterva2.web.reader import Computation, Data
from caterva2.web.server import bodies
from caterva2.web.state import reader_of, state_of


def is_dry(request: Request) -> bool:
    """Return whether a request asks what it would take only."""
    return queries.choice(queries.once(request), "dry", ("", "0", "1"), "") == "1"


async def compute(request: Request) -> Response:
    dry = is_dry(request)
    form = queries.choice(queries.once(request), "format", ("", *files.MEDIA_TYPES), "")
    asked = await forms.from_json(request, Compute, ("RECIPE_BYTES", constants.RECIPE_BYTES))
    data: Data = reader_of(request)

    async def attempt() -> Response:
        found = await data.computation(Expression(asked.expression, asked.operands))
        etags = {name: one.etag for name, one in found.operands.items()}
        conditions.check_operands(asked.etags or {}, etags)
        headers = answers.warning(offline=found.offline) | {OPERANDS_HEADER: json.dumps(etags)}
        if dry:
            return answers.json_answer(plan_of(found), headers)
        return await _result(request, found, form or None, headers)

    return await until_disconnected(request, retry_stale_async(attempt))


async def _result(
    request: Request, found: Computation, given: str | None, headers: dict[str, str]
) -> Response:
    """Answer with a stream of any size, plain values, or a frame that is made in memory."""
    region = FetchRegion(selection.whole(found.info.shape))
    if given is None and streams.accepted(request):
        return await streams.answer(request, found, region, headers)
    form = values.form_asked_for(request, given)
    if form is not None:
        return await values.answer(request, found, region, form, headers)
    size, most = region.nbytes(found.info), state_of(request).limits.web.output_bytes
    if size > most:
        raise TooLarge(
            f"the result has {size} bytes, OUTPUT_BYTES is {most}: compute slices of it, or "
            f"accept {stream.MEDIA_TYPE}"
        )
    # Values and frame exist side by side.
    with await bodies.hold(request, 2 * size, computed=True) as hold:
        frame = await found.frame(region.selection)
        assert isinstance(frame, bytes | bytearray)
        tag = {"ETag": answers.frame_tag(found.info.etag, None), "Vary": "Accept"}
        return bodies.BudgetedBody((frame,), hold, headers | tag, media.BINARY)


def plan_of(found: Computation) -> compute_types.Plan:
    """Describe what would be computed, and what it takes."""
    info = found.info
    return {
        "shape": list(info.shape), "dtype": dtypes.display(dtypes.parse(info.dtype)),
        "nbytes": info.nbytes, "etag": info.etag,
        "cost": {"read": found.cost.read, "staged": found.cost.staged},
        "operands": {
            name: {
                "path": one.path, "etag": one.etag, "shape": list(one.shape), "dtype": one.dtype
            }
            for name, one in found.operands.items()
        },
    }  # fmt: skip


DRY = Parameter(
    "dry", Annotated[str, WithJsonSchema({"enum": ["", "0", "1"]})],
    "1: describe the result and what it takes, and compute nothing",
)  # fmt: skip
_HEADERS = ("ETag", "Warning", OPERANDS_HEADER)

OPERATIONS = (
    Operation(
        "POST", paths.COMPUTE, compute,
        "Compute an expression over datasets, without storing it; or say what it takes",
        {
            200: Reply(
                "the result as a Blosc2 contiguous frame; as a stream or plain values for clients "
                "that accept these; as a file with `format`; with `dry` what would be computed",
                {
                    media.BINARY: bytes, stream.MEDIA_TYPE: bytes, layout.MEDIA_TYPE: bytes,
                    media.CSV: str, media.JSON: compute_types.Plan | Any,
                },
                _HEADERS,
            )
        },
        failures=(*READING, 413, 422),
        parameters=(DRY, Parameter("format", files.Format, "answer with a file of the values")),
        body=Body(Compute),
    ),
)  # fmt: skip
