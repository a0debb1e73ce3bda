"""Lists of admitted keys."""

from __future__ import annotations

import contextlib

from caterva2.errors import ConfigError
from caterva2.wire.auth import allow_list
from caterva2.wire.auth.allow_list import AllowList

LINE = f"somebody {'e' * 64} read *"


def one(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    found = AllowList.parse(text)
    for key in found.grants:
        kept, count = allow_list.without(text, key)
        assert count >= 1
        assert key not in AllowList.parse(kept).grants
    with contextlib.suppress(ConfigError):
        more = AllowList.parse(allow_list.with_line(text, LINE))
        assert set(more.grants) == {*found.grants, "e" * 64}
