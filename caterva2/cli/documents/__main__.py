"""Write man pages and completions of all commands into a checkout."""

from __future__ import annotations

from pathlib import Path

import caterva2
from caterva2.cli.documents import completions, manpages

if __name__ == "__main__":
    top = Path(caterva2.__file__).parents[1]
    manpages.write(top / "docs" / "man")
    completions.write(top / "conf" / "completions")
