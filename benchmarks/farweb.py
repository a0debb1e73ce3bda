"""What is put far from the data without us: files over HTTP, for zarr and Blosc2, or nginx."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import blosc2

from benchmarks.services import eventually, free_port

Read = Callable[[int], object]
"""Reads all of an array, as a reader of a group."""
_CACHING = """
{user}daemon off; pid {state}/nginx.pid; error_log stderr error; worker_processes auto;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 1000000;
  client_body_temp_path {state}/body; proxy_temp_path {state}/proxy;
  fastcgi_temp_path {state}/fastcgi; uwsgi_temp_path {state}/uwsgi; scgi_temp_path {state}/scgi;
  proxy_cache_path {state}/cache keys_zone=c:10m max_size=10g;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://127.0.0.1:{target}; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_cache c; proxy_cache_lock on; proxy_cache_lock_timeout 120s;
      proxy_cache_valid 200 206 10m; proxy_cache_use_stale error timeout updating;
      proxy_connect_timeout 3s; proxy_read_timeout 30s;
    }}
  }}
}}
"""


def zarr_over(url: str, name: str) -> Read:
    """Read an array of a Zarr store over HTTP."""

    def read(_: int) -> object:
        import obstore.store
        import zarr
        import zarr.storage

        made = obstore.store.from_url(url, client_options={"allow_http": True})
        store = zarr.storage.ObjectStore(made, read_only=True)
        array: Any = zarr.open_array(store, path=name, mode="r", zarr_format=3)
        return array[...]

    return read


def blosc2_over(url: str, place: Path) -> Read:
    """Read a file over HTTP by Blosc2, with a cache on the disk for each group."""

    def read(group: int) -> object:
        cache = place / f"group{group}"
        cache.mkdir(parents=True, exist_ok=True)
        array: Any = blosc2.open(url, cache_dir=str(cache), shared_cache=True)
        return array[:]

    return read


def has_nginx() -> bool:
    return shutil.which("nginx") is not None


@contextlib.contextmanager
def caching_proxy(state: Path, target: int) -> Iterator[str]:
    """Run nginx as a caching proxy of a port; its URL."""
    state.mkdir()
    port, config = free_port(), state / "nginx.conf"
    user = "user root root; " if os.geteuid() == 0 else ""
    config.write_text(_CACHING.format(user=user, state=state, port=port, target=target))
    command = ["nginx", "-c", str(config), "-p", str(state)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: (state / "nginx.pid").exists(), 30)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(10)
