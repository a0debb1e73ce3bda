"""Metrics as text: the format of Prometheus, version 0.0.4."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator

from caterva2.runtime.metrics import Family, MemoryMetrics, Metrics, Sample
from caterva2.runtime.single_flight import SingleFlight

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_IN_HELP = str.maketrans({"\\": r"\\", "\n": r"\n"})
_IN_LABELS = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


class Scrapes:
    """Makes the text of all metrics, once for all who ask meanwhile.

    Parameters
    ----------
    metrics : MemoryMetrics
        What is measured all the time.
    """

    def __init__(self, metrics: MemoryMetrics) -> None:
        self._metrics = metrics
        self._under_way: SingleFlight[None, str] = SingleFlight(cancel_abandoned=False)

    async def text(
        self,
        report: Callable[[Metrics], Awaitable[None]],
        shows: Callable[[str], bool] = lambda _: True,
    ) -> str:
        """Return the values of roots that are shown, with those that a function reports.

        Both functions are the same for all who ask.
        """

        async def make() -> str:
            shown = self._metrics.copy()
            await report(shown)
            return await asyncio.to_thread(text, shown, shows)

        return await self._under_way.run(None, make)


def text(metrics: MemoryMetrics, shows: Callable[[str], bool] = lambda _: True) -> str:
    """Return all current values, but for those of roots that are not shown."""
    families = metrics.families().items()
    shown = ((family, [one for one in found if _shown(one, shows)]) for family, found in families)
    return "".join(line + "\n" for family, samples in shown for line in _lines(family, samples))


def _shown(sample: Sample, shows: Callable[[str], bool]) -> bool:
    return all(name != "root" or not text or shows(text) for name, text in sample.labels)


def _lines(family: Family, samples: list[Sample]) -> Iterator[str]:
    yield f"# HELP {family.name} {family.help.translate(_IN_HELP)}"
    yield f"# TYPE {family.name} {type(family).__name__.lower()}"
    for sample in samples:
        labels = ",".join(f'{name}="{text.translate(_IN_LABELS)}"' for name, text in sample.labels)
        series = f"{sample.name}{{{labels}}}" if labels else sample.name
        yield f"{series} {_number(sample.value)}"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
