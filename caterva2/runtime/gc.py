"""The collector of garbage, where very many objects come in at once."""

from __future__ import annotations

import gc


def promote_all() -> None:
    """Have the collector take all that lives now for old, without a look at it.

    There may be millions of entries, and looking at them again and again while they arrive
    would hold up everything. None is kept from being collected: only freezing would do that,
    and what is in use at this moment may be garbage with cycles later.
    """
    gc.freeze()
    gc.unfreeze()
