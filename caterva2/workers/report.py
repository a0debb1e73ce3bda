"""What a worker did and the core has not heard of yet."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from caterva2.web.server.early import Answer

FULL = 1000
"""Records of answers, and connections, that are reported at once."""


class Report:
    """Connections that were closed, answers, and their records, until `taken`.

    Attributes
    ----------
    closed : list of int
    answers : int
    """

    def __init__(self) -> None:
        self.closed: list[int] = []
        self.answers = 0
        self._records: list[list[Any]] = []

    @property
    def is_full(self) -> bool:
        """Whether it is time to report."""
        return len(self._records) >= FULL or len(self.closed) >= FULL

    def record(self, target: bytes, answer: Answer, client: str, seconds: float) -> None:
        """Note what the access log says of an answer."""
        path = unquote(target.partition(b"?")[0].decode("ascii"))
        status, sent = int(answer.start.split(b" ", 2)[1]), memoryview(answer.body).nbytes
        self._records.append([path, answer.user, client, status, sent, seconds])

    def taken(
        self,
        hits: list[tuple[str, str, str, int]],
        requests: list[tuple[dict[str, str], list[int], float]],
    ) -> dict[str, Any]:
        """Return all of it with what else is reported, and begin anew."""
        made = {
            "closed": self.closed, "answers": self.answers, "records": self._records,
            "hits": hits, "requests": requests,
        }  # fmt: skip
        self.closed, self.answers, self._records = [], 0, []
        return made
