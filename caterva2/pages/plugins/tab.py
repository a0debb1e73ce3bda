"""The tab that a plugin is on the page of a dataset."""

from __future__ import annotations

import asyncio
import logging
import mimetypes
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from caterva2.errors import CatervaError, Internal
from caterva2.pages.dataset import Tab
from caterva2.pages.plugins import Info, Plugin
from caterva2.web import descriptions
from caterva2.web.reader import Dataset

log = logging.getLogger(__name__)


def make_tab(plugin: Plugin) -> Tab:
    """Make the tab of a plugin."""

    def fits(opened: Dataset) -> bool:
        try:
            return _has_type(plugin, opened.info.path) or bool(plugin.matches(_described(opened)))
        except Exception:
            log.exception("the plugin %s failed to judge %s", plugin.name, opened.info.path)
            return False

    async def view(request: Request, opened: Dataset) -> Mapping[str, Any]:
        described = _described(opened)
        query = dict(request.query_params)
        try:
            given = await asyncio.to_thread(plugin.context, described, query)
        except CatervaError:
            raise
        except Exception:
            log.exception("the plugin %s failed on %s", plugin.name, opened.info.path)
            raise Internal(f"the plugin {plugin.name} failed, see the server's log") from None
        return {**given, "plugin": plugin, "description": described, "query_params": query}

    return Tab(plugin.name, plugin.title, view, fits, template="dataset/plugin.html")


def _described(opened: Dataset) -> Info:
    return {**descriptions.dataset(opened), "path": str(opened.info.path)}


def _has_type(plugin: Plugin, path: str) -> bool:
    kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
    return bool({kind, f"{kind.partition('/')[0]}/*"} & plugin.media_types)
