"""A server of S3 for tests, and what is put into its buckets."""

from __future__ import annotations

import itertools
import logging
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass

import obstore
import obstore.store

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "AKIATESTS",
    "AWS_SECRET_ACCESS_KEY": "not-to-be-logged",
    "AWS_REGION": "us-east-1",
    "AWS_ALLOW_HTTP": "true",
}
_NUMBERS = itertools.count()


class S3Server:
    """A server in a thread of this process, which can be killed and started again."""

    def __init__(self) -> None:
        self.port = 0
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self.start()

    def start(self) -> None:
        from moto.server import ThreadedMotoServer  # it takes half a second to load

        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=self.port, verbose=False)
        self._server.start()
        self.port = self._server.get_host_and_port()[1]

    def stop(self) -> None:
        self._server.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> Mapping[str, str]:
        return ENVIRONMENT | {"AWS_ENDPOINT": self.url}

    def bucket(self) -> Bucket:
        """Make an empty bucket."""
        name = f"bucket-{next(_NUMBERS)}"
        request = urllib.request.Request(f"{self.url}/{name}", method="PUT")
        with urllib.request.urlopen(request):
            return Bucket(self.url, name)


@dataclass(frozen=True)
class Bucket:
    """A bucket, and a prefix in it."""

    server: str
    name: str

    @property
    def s3(self) -> str:
        return f"s3://{self.name}/some/prefix"

    @property
    def http(self) -> str:
        return f"{self.server}/{self.name}/some/prefix"

    @property
    def store(self) -> obstore.store.S3Store:
        """The store that tests write to, and zarr-python too."""
        return obstore.store.S3Store(
            self.name, prefix="some/prefix", endpoint=self.server, access_key_id="k",
            secret_access_key="s", region="us-east-1", client_options={"allow_http": True},
        )  # fmt: skip

    def put(self, key: str, content: bytes) -> None:
        """Put an object that may be read without credentials too."""
        url = f"{self.http}/{key}"
        given = {"x-amz-acl": "public-read", "Content-Type": "application/octet-stream"}
        request = urllib.request.Request(url, content, given, method="PUT")
        with urllib.request.urlopen(request, timeout=20):
            pass

    def delete(self, key: str) -> None:
        obstore.delete(self.store, key)
