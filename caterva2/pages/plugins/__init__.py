"""Plugins of the pages: tabs for datasets, of this package and of others.

A plugin says which datasets it shows, and brings a template and static files. Other packages name
theirs as entry points of the group ``caterva2.web_plugins``; see docs/web-plugins.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Info = Mapping[str, Any]
"""What ``GET /api/info/ROOT/PATH`` answers of a dataset."""


def _never(_: Info) -> bool:
    return False


def _nothing(_: Info, __: Mapping[str, str]) -> Mapping[str, Any]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """A tab for some datasets.

    Parameters
    ----------
    name : str
        In URLs, as ``?tab=NAME``: small letters, digits and hyphens.
    title : str
        Of the tab.
    folder : Path
        Has a directory ``templates`` and maybe one ``static``.
    template : str
        File in ``templates``: a template of Jinja2, rendered within the page of the dataset.
    scripts : tuple of str, optional
        Files in ``static`` that the page loads as ES modules.
    styles : tuple of str, optional
        Files in ``static`` that the page loads as style sheets.
    media_types : frozenset of str, optional
        Files of these types, which their names tell, are shown; ``image/*`` stands for all images.
    matches : function, optional
        Returns whether a dataset is shown, by its description.
    context : function, optional
        Returns what the template shows besides, by the description and the page's query. It runs in
        a thread.
    """

    name: str
    title: str
    folder: Path
    template: str
    scripts: tuple[str, ...] = ()
    styles: tuple[str, ...] = ()
    media_types: frozenset[str] = field(default_factory=frozenset)
    matches: Callable[[Info], bool] = _never
    context: Callable[[Info, Mapping[str, str]], Mapping[str, Any]] = _nothing
