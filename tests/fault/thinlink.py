"""A thin link as a program: python -m tests.fault.thinlink HOST PORT SECONDS BYTES-A-SECOND

It is put before a port of 127.0.0.1, where the kernel has no netem, until it is ended.
"""

from __future__ import annotations

import signal
import sys

from tests.fault.proxy import Proxy


def main(host: str, port: str, delay: str, bandwidth: str) -> None:
    """Forward connections to a port of another address of this machine to that of 127.0.0.1."""
    proxy = Proxy(int(port), listen=(host, int(port)))
    proxy.delay, proxy.bandwidth = float(delay), float(bandwidth)
    signal.sigwait({signal.SIGTERM})
    proxy.close()


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    main(*sys.argv[1:])
