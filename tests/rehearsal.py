"""What each service does first, done once in the process that forks them: libraries keep it."""

from __future__ import annotations

import functools
import os
from importlib import metadata
from pathlib import Path
from types import CodeType, SimpleNamespace
from typing import Any


def rehearse() -> None:
    """Have patterns, validators, templates and versions of packages ready."""
    from caterva2 import config
    from caterva2.cli import parsers
    from caterva2.isolation import hdf5
    from caterva2.web import app, operation

    metadata.version = functools.cache(metadata.version)
    hdf5._identity()
    for kind in config.settings.SECTIONS.values():
        config.load(kind, Path(os.devnull))
        config.load_limits(Path(os.devnull))
    for make in (parsers.cat2bro, parsers.cat2pub, parsers.cat2sub):
        make().parse_known_args([])
    operation.routes(app.operations(None))
    hash_cheaply()
    _keep_pages()


def hash_cheaply() -> None:
    """Have passwords hashed at once: what keeps guessers off takes 30 ms and more each time."""
    from caterva2.accounts import hashing

    hashing.HASHER.__init__(time_cost=1, memory_cost=8, parallelism=1)  # type: ignore[misc]


def _keep_pages() -> None:
    """Compile all templates and read all static files, for which a service takes 0.5 s."""
    import jinja2

    from caterva2.pages import assets, site

    kept: dict[tuple[str, str], CodeType | None] = {}

    class Kept(jinja2.BytecodeCache):
        """By place and text of a template, as those of plugins differ."""

        def load_bytecode(self, bucket: Any) -> None:
            bucket.code = kept.get((bucket.key, bucket.checksum))

        def dump_bytecode(self, bucket: Any) -> None:
            kept[bucket.key, bucket.checksum] = bucket.code

    jinja2.Environment.__init__ = functools.partialmethod(  # type: ignore[method-assign, assignment]
        jinja2.Environment.__init__, bytecode_cache=Kept()
    )
    read = functools.cache(assets._files)
    assets._files = lambda *given: dict(read(*given))  # type: ignore[assignment]
    metadata.entry_points = functools.cache(metadata.entry_points)
    state: Any = SimpleNamespace(prefix="")
    made: Any = site.make_site(state).state
    for asset in made.assets.files.values():
        asset.packed  # noqa: B018 - it is kept by its first use
    templates = made.renderer._templates
    made.renderer.compile(*templates.list_templates(["html"]))
