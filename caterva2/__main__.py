"""``python -m caterva2``: the command ``caterva2``."""

import sys

from caterva2.cli import launch

if __name__ == "__main__":
    sys.exit(launch.caterva2())
