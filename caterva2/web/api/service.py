"""The service itself: start page, OpenAPI document, health, metrics."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from caterva2.rest import media, paths
from caterva2.rest.service import Health, Me, Ready, Start, Status
from caterva2.runtime.monitoring import exposition
from caterva2.version import __version__
from caterva2.web import answers
from caterva2.web.contracts.watching import Monitoring
from caterva2.web.operation import Operation, Reply, json_reply
from caterva2.web.state import may_write, reader_of, state_of, user_of


def _monitoring(request: Request) -> Monitoring:
    return reader_of(request)


async def start_page(_: Request) -> Response:
    page: Start = {
        "name": "Caterva2", "version": __version__, "roots": paths.ROOTS, "openapi": paths.OPENAPI
    }  # fmt: skip
    return answers.json_answer(page)


async def openapi(request: Request) -> Response:
    return answers.json_answer(await asyncio.to_thread(state_of(request).openapi))


async def health(request: Request) -> Response:
    found = _monitoring(request).health()
    body: Health = {"status": "ok", "broker": found.broker, "roots": found.roots}
    return answers.json_answer(body)


async def status(request: Request) -> Response:
    found = await _monitoring(request).status()
    return await asyncio.to_thread(answers.json_answer, found, {"Cache-Control": "no-store"})


async def ready(request: Request) -> Response:
    reason = await _monitoring(request).unready()
    body: Ready = {"status": "unready" if reason else "ready", "reason": reason}
    return JSONResponse(body, 503 if reason else 200)


async def me(request: Request) -> Response:
    user, accounts = user_of(request), state_of(request).accounts
    quota = _monitoring(request).quota()
    body: Me = {
        "user": user.email if user else None, "superuser": user is not None and user.superuser,
        "accounts": accounts is not None,
        "register": accounts is not None and accounts.registering,
        "quota": {"used": quota[0], "limit": quota[1] or None} if quota else None,
        "special": may_write(request), "compute": True,
    }  # fmt: skip
    return answers.json_answer(body, {"Cache-Control": "no-store"})


async def metrics(request: Request) -> Response:
    monitoring = _monitoring(request)
    monitoring.check_watching()
    text = await state_of(request).scrapes.text(monitoring.report, monitoring.shows_metrics)
    return PlainTextResponse(text, media_type=exposition.MEDIA_TYPE)


OPERATIONS = (
    Operation(
        "GET", paths.OPENAPI, openapi, "Return this document",
        {200: json_reply(dict[str, Any], "OpenAPI 3.1")}, failures=(400,),
    ),
    Operation(
        "GET", paths.START, start_page, "Return the paths to begin with",
        {200: json_reply(Start, "the start page")}, failures=(400,),
    ),
    Operation(
        "GET", paths.ME, me, "Show who asks, and what that user may do",
        {200: json_reply(Me, "the user, and what is switched on")}, failures=(400,),
    ),
    Operation(
        "GET", paths.STATUS, status, "Show how the server is, and what is to be done",
        {200: json_reply(Status, "as far as who asks may see it")}, failures=(400,),
    ),
    # Monitors may add parameters of their own to these three.
    Operation(
        "GET", paths.HEALTH, health, "Show whether the server works",
        {200: json_reply(Health, "it does")}, checks_query=False,
    ),
    Operation(
        "GET", paths.READY, ready, "Show whether the server can serve requests now",
        {200: json_reply(Ready, "it can"), 503: json_reply(Ready, "it can't, and why")},
        checks_query=False,
    ),
    Operation(
        "GET", paths.METRICS, metrics, "Read the metrics for Prometheus",
        {200: Reply("text format of Prometheus, version 0.0.4", {media.TEXT: str})},
        failures=(401,), checks_query=False,
    ),
)  # fmt: skip
