"""The application, put together."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException

from caterva2 import limits
from caterva2.budget import Budget
from caterva2.errors import CatervaError
from caterva2.web import answers, api
from caterva2.web.reader import Readers


def make_app(readers: Readers) -> Starlette:
    """The web application over a subscriber."""
    app = Starlette(
        routes=api.ROUTES,
        exception_handlers={
            CatervaError: answers.on_caterva_error,
            HTTPException: answers.on_http_error,
            Exception: answers.on_any_error,
        },
    )
    app.state.readers = readers
    app.state.outputs = Budget(limits.OUTPUTS_BYTES)
    app.state.small_outputs = Budget(limits.SMALL_OUTPUTS_BYTES)
    return app
