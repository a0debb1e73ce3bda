"""The application, put together."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from caterva2 import limits
from caterva2.accounts.accounts import Accounts
from caterva2.errors import CatervaError
from caterva2.runtime.budget import Budget
from caterva2.web import answers
from caterva2.web.api import accounts as account_routes
from caterva2.web.api import data, special
from caterva2.web.middleware.quick import QuickSlices
from caterva2.web.middleware.sessions import SecurityHeaders, Sessions
from caterva2.web.openapi import accounts as account_paths
from caterva2.web.openapi import document
from caterva2.web.openapi import special as special_paths
from caterva2.web.reader import Readers


def make_app(readers: Readers, accounts: Accounts | None = None) -> Starlette:
    """The web application over a subscriber, and over its accounts where there are any."""
    routes, middleware = [*data.ROUTES, *special.ROUTES], [Middleware(SecurityHeaders)]
    paths = special_paths.PATHS
    if accounts is not None:
        routes += account_routes.routes(accounts.registering)
        middleware.append(Middleware(Sessions, accounts))
        paths = paths | account_paths.paths(accounts.registering)
    small_outputs = Budget(limits.SMALL_OUTPUTS_BYTES)
    # The innermost: whose request it is, and what every answer tells, is for those around it.
    middleware.append(Middleware(QuickSlices, readers, small_outputs))
    app = Starlette(
        routes=routes,
        middleware=middleware,
        exception_handlers={
            CatervaError: answers.on_caterva_error,
            HTTPException: answers.on_http_error,
            Exception: answers.on_any_error,
        },
    )
    app.state.readers = readers
    app.state.accounts = accounts
    app.state.description = document.document(paths)
    app.state.outputs = Budget(limits.OUTPUTS_BYTES)
    app.state.small_outputs = small_outputs
    app.state.computed_outputs = Budget(limits.COMPUTED_OUTPUTS_BYTES)
    return app
