"""The plugins that are installed: those of this package, and entry points of others."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from importlib import metadata
from typing import Final

from caterva2.pages.plugins import Plugin, tomography

GROUP: Final = "caterva2.web_plugins"
OWN: Final = (tomography.PLUGIN,)
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,31}")
log = logging.getLogger(__name__)


def installed(taken: Iterable[str]) -> Sequence[Plugin]:
    """Return the plugins, each with a name of its own that is not ``taken``.

    One that can't be used is named in the log and left out: the pages go on without it.
    """
    found = dict[str, Plugin]()
    names = set(taken)
    for origin, plugin in (*((one.name, one) for one in OWN), *_entry_points()):
        trouble = _trouble(plugin, names)
        if trouble:
            log.warning("the plugin %s of the pages is left out: %s", origin, trouble)
            continue
        assert isinstance(plugin, Plugin)
        names.add(plugin.name)
        found[plugin.name] = plugin
    return tuple(found.values())


def _entry_points() -> Iterator[tuple[str, object]]:
    for point in sorted(metadata.entry_points(group=GROUP), key=lambda point: point.value):
        try:
            yield point.value, point.load()
        except Exception:  # whatever the module of another package raises
            log.warning("the plugin %s of the pages can't be loaded", point.value, exc_info=True)


def _trouble(plugin: object, names: set[str]) -> str:
    """Return why a plugin can't be used; empty if it can."""
    if not isinstance(plugin, Plugin):
        return "it is no caterva2.pages.plugins.Plugin"
    if not _NAME.fullmatch(plugin.name):
        return f"its name {plugin.name!r} is not of small letters, digits and hyphens"
    if plugin.name in names:
        return f"there is another tab named {plugin.name}"
    wanted = [plugin.folder / "templates" / plugin.template]
    wanted += [plugin.folder / "static" / name for name in (*plugin.scripts, *plugin.styles)]
    missing = [str(path) for path in wanted if not path.is_file()]
    return f"{', '.join(missing)} is missing" if missing else ""
