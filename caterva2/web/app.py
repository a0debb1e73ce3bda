"""The web application: routes, middleware and error handlers over a subscriber."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from caterva2.accounts.accounts import Accounts
from caterva2.accounts.grants import Grants
from caterva2.errors import CatervaError
from caterva2.limits import DEFAULTS, Limits
from caterva2.runtime.metrics import MemoryMetrics
from caterva2.web import answers
from caterva2.web.api import accounts as account_api
from caterva2.web.api import (
    catalogue,
    compute,
    data,
    events,
    exchange,
    overviews,
    prefetch,
    search,
    service,
    special,
    tables,
    tokens,
    trash,
    uploads,
)
from caterva2.web.early.answers import EarlyAnswers
from caterva2.web.early.shards import Shards
from caterva2.web.early.slices import Slices
from caterva2.web.middleware.compression import Compression
from caterva2.web.middleware.ending import EndingAnswers
from caterva2.web.middleware.foreign import ForeignChanges
from caterva2.web.middleware.granted import GrantedReads
from caterva2.web.middleware.latency import Latency
from caterva2.web.middleware.origins import Options, cross_origin
from caterva2.web.middleware.paths import TextPaths
from caterva2.web.middleware.sessions import SecurityHeaders, Sessions
from caterva2.web.operation import Operation, routes
from caterva2.web.reader import Readers
from caterva2.web.state import WebState
from caterva2.web.zarr import api as zarr

OPERATIONS: tuple[Operation, ...] = (  # those that are called most come first
    *data.OPERATIONS,
    *catalogue.OPERATIONS,
    *overviews.OPERATIONS,
    *search.OPERATIONS,
    *tables.OPERATIONS,
    *events.OPERATIONS,
    *prefetch.OPERATIONS,
    *service.OPERATIONS,
    *special.OPERATIONS,
    *uploads.OPERATIONS,
    *trash.OPERATIONS,
    *compute.OPERATIONS,
    *zarr.OPERATIONS,
    *exchange.OPERATIONS,
)


def operations(accounts: Accounts | None) -> tuple[Operation, ...]:
    """Return the operations of an application with these accounts, or without any."""
    if accounts is None:
        return OPERATIONS
    register = (account_api.REGISTER,) if accounts.registering else ()
    return (*OPERATIONS, *account_api.OPERATIONS, *tokens.OPERATIONS, *register)


def make_app(
    readers: Readers,
    accounts: Accounts | None = None,
    limits: Limits = DEFAULTS,
    origins: Sequence[str] = (),
    metrics: MemoryMetrics | None = None,
    front: Callable[[WebState], Middleware] | None = None,
    grants: Grants | None = None,
    prefix: str = "",
) -> Starlette:
    """Make the web application over a subscriber, and over its accounts where there are any.

    Pages of the ``origins`` may read what is read without a login. The ``metrics`` are those of
    the whole service. The ``front`` answers with pages, and passes on all other requests. The
    ``grants`` are of programs that compute for users. The ``prefix`` is in front of all paths of
    the server, as pages write them.
    """
    metrics = metrics or MemoryMetrics()
    offered = operations(accounts)
    state = WebState(readers, accounts, limits, offered, metrics, prefix)
    served = [operation.path for operation in offered]
    middleware = [Middleware(Latency, served, metrics), Middleware(SecurityHeaders)]
    if origins:
        middleware.append(cross_origin(origins))
    middleware += [Middleware(EndingAnswers), Middleware(TextPaths)]
    middleware.append(Middleware(ForeignChanges, origins))
    middleware.append(Middleware(Options, routes(offered)))
    if accounts is not None:
        middleware.append(Middleware(Sessions, accounts))
    if grants is not None:
        middleware.append(Middleware(GrantedReads, grants))
    middleware.append(Middleware(Compression))
    if front is not None:
        middleware.append(front(state))
    app = Starlette(
        routes=routes(offered),
        middleware=middleware,
        exception_handlers={
            CatervaError: answers.on_caterva_error,
            HTTPException: answers.on_http_error,
            Exception: answers.on_any_error,
        },
    )
    app.state.web = state
    kinds = Slices(), Shards(state.shards)
    app.state.early = EarlyAnswers(readers, accounts, kinds, metrics)
    return app
