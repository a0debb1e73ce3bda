"""Sources of other packages: entry points of the group ``caterva2.sources``.

An entry point is named after the scheme that it serves, as in ``tiff:scans/``, or after the suffix
of the files and directories that it serves, as ``.tif``. It is a function that makes a `Source`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from caterva2.errors import StartError
from caterva2.limits import DEFAULTS, PublisherLimits
from caterva2.sources.base import Source

GROUP = "caterva2.sources"


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """What a source is made with, besides the text that names its data.

    ``statedir`` is a directory that is the source's own as long as it is open, ``watch`` says
    whether the system is asked to report changes, and ``given`` are the user's own options, as
    ``--option NAME=VALUE`` or in ``[publisher.options]``.
    """

    statedir: Path
    limits: PublisherLimits = DEFAULTS.publisher
    watch: bool = True
    given: Mapping[str, str] = field(default_factory=dict)


Make = Callable[[str, SourceOptions], Source]


def named(name: str) -> Make | None:
    """Return the function of a scheme, or of a suffix with its dot; None if there is none.

    Raises
    ------
    StartError
        If several packages have one, or it can't be loaded.
    """
    found = list(metadata.entry_points(group=GROUP, name=name))
    if not found:
        return None
    if len(found) > 1:
        values = ", ".join(sorted(point.value for point in found))
        raise StartError(f"several packages serve {name}: {values}; uninstall all but one")
    origin = found[0].value
    try:
        make = found[0].load()
    except (ImportError, AttributeError) as error:
        raise StartError(f"{origin}, which serves {name}, can't be loaded: {error}") from None
    if not callable(make):
        raise StartError(f"{origin}, which serves {name}, is not a function")
    return make  # type: ignore[no-any-return]
