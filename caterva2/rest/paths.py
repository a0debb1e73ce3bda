"""Paths of the REST interface. ``{path}`` and ``{username}`` may hold slashes, ``{root}`` none."""

from __future__ import annotations

from pathlib import PurePath
from typing import Final

START: Final = "/"
ROOTS: Final = "/api/roots"
SUBSCRIBE: Final = "/api/subscribe/{root}"
LIST: Final = "/api/list/{path}"
ENTRIES: Final = "/api/entries/{path}"
INFO: Final = "/api/info/{path}"
MEMBERS: Final = "/api/members/{path}"
SEARCH_ALL: Final = "/api/search/"
SEARCH: Final = "/api/search/{path}"
FETCH: Final = "/api/fetch/{path}"
CHUNK: Final = "/api/chunk/{path}"
CHUNKS: Final = "/api/chunks/{path}"
DOWNLOAD: Final = "/api/download/{path}"
OVERVIEW: Final = "/api/overview/{path}"
STATS: Final = "/api/stats/{path}"
IMAGE: Final = "/api/image/{path}"
TABLE: Final = "/api/table/{path}"
PREFETCH: Final = "/api/prefetch/{path}"
EVENTS: Final = "/api/events"
EXCHANGES: Final = "/api/exchange"
EXCHANGE: Final = "/api/exchange/{root}"

UPLOAD: Final = "/api/upload/{path}"
UPLOADS: Final = "/api/uploads"
UNFINISHED: Final = "/api/uploads/{upload}"
APPEND: Final = "/api/append/{path}"
REMOVE: Final = "/api/remove/{path}"
TRASH: Final = "/api/trash"
TRASHED: Final = "/api/trash/{item}"
MOVE: Final = "/api/move/"
COPY: Final = "/api/copy/"
LAZYEXPR: Final = "/api/lazyexpr/"
COMPUTE: Final = "/api/compute"

LOGIN: Final = "/auth/jwt/login"
LOGOUT: Final = "/auth/jwt/logout"
REGISTER: Final = "/auth/register"
CHANGE_PASSWORD: Final = "/api/password/"  # noqa: S105
ADD_USER: Final = "/api/adduser/"
DELETE_USER: Final = "/api/deluser/{username}"
LIST_USERS: Final = "/api/listusers/"
USER: Final = "/api/users/{username}"
TOKENS: Final = "/api/tokens"
TOKEN: Final = "/api/tokens/{item}"  # noqa: S105

ZARR_DOCUMENT: Final = "/zarr/{path}/zarr.json"
ZARR: Final = "/zarr/{path}"
ZARR2: Final = "/zarr2/{path}"

OPENAPI: Final = "/api/openapi.json"
STATUS: Final = "/api/status"
ME: Final = "/api/me"
HEALTH: Final = "/healthz"
READY: Final = "/readyz"
METRICS: Final = "/metrics"

FIRST_PARTS: Final = frozenset(("api", "auth", "zarr", "zarr2", "healthz", "readyz", "metrics"))
"""First parts of the paths above."""


def prefix(path: str) -> str:
    """Return what is in front of a path's placeholder."""
    return path.partition("{")[0]


def relative(path: str, name: str | PurePath = "") -> str:
    """Return a path below the URL of a subscriber, with a name in place of its placeholder."""
    return f"{prefix(path)[1:]}{name}"
