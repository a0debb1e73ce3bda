"""Versions of Python and of libraries, and what extras lack."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata

from caterva2.cli.doctor.finding import Finding
from caterva2.version import __version__

OLDEST = (3, 11)
Version = Callable[[str], str]
_REQUIREMENT = re.compile(
    r"(?P<name>[\w.-]+)(?:\[(?P<extras>[\w,-]+)\])?\s*(?P<bounds>[^;]*)(?:;(?P<marker>.*))?"
)
_EXTRA = re.compile(r"extra == ['\"]([\w-]+)['\"]")
_LEAST = re.compile(r">=\s*([0-9.]+)")
FOR_SERVICES = "services"
SHOWN = ("services", "hdf5", "zarr", "objectstore", "oidc", "fsspec", "xarray", "arrow", "dask")
"""Extras that people choose."""


def python(version: tuple[int, ...] = sys.version_info[:3]) -> Finding:
    """Judge the version of Python."""
    text = ".".join(map(str, version))
    if version < OLDEST:
        return Finding("wrong", "Python", text, "install 3.11 or newer")
    return Finding("ok", "Python", f"{text}, caterva2 {__version__}")


def requirements(lines: list[str]) -> dict[str, list[str]]:
    """Return what each extra requires, and ``""`` for what is always required."""
    found: dict[str, list[str]] = {"": []}
    for line in lines:
        match = _REQUIREMENT.fullmatch(line)
        if match is None:
            continue
        extra = _EXTRA.search(match["marker"] or "")
        found.setdefault(extra[1] if extra else "", []).append(line.partition(";")[0].strip())
    return found


def libraries(
    lines: list[str] | None = None, version: Version = metadata.version, *, serves: bool = False
) -> Iterator[Finding]:
    """Compare what is installed with what is required.

    Parameters
    ----------
    lines : list of str, optional
        Requirements of this package, by default of the one that is installed.
    version : callable, optional
        Returns the version of a package, or raises `metadata.PackageNotFoundError`.
    serves : bool
        Whether services are configured, so that their libraries are needed.
    """
    if lines is None:
        try:
            lines = metadata.requires("caterva2") or []
        except metadata.PackageNotFoundError:
            yield Finding(
                "note", "libraries", "caterva2 runs from a checkout: they are not checked"
            )
            return
    wanted = requirements(lines)
    bad = list(_lacking("", wanted, version))
    for text in bad:
        yield Finding("wrong", "libraries", text, "pip install --upgrade caterva2")
    if not bad:
        yield Finding("ok", "libraries", "those of the client are there")
    whole = []
    for extra in SHOWN:
        lacks = list(_lacking(extra, wanted, version))
        if not lacks:
            whole.append(extra)
            continue
        needed = serves and extra == FOR_SERVICES
        hint = f"pip install 'caterva2[{extra}]'{'' if needed else ' if you want it'}"
        yield Finding("wrong" if needed else "note", f"extra {extra}", ", ".join(lacks), hint)
    if whole:
        yield Finding("ok", "extras", ", ".join(whole))


def _lacking(extra: str, wanted: Mapping[str, list[str]], version: Version) -> Iterator[str]:
    """Yield what is missing or too old."""
    for line in wanted.get(extra, ()):
        match = _REQUIREMENT.fullmatch(line)
        assert match
        if match["name"] == "caterva2":
            for other in (match["extras"] or "").split(","):
                yield from _lacking(other, wanted, version)
            continue
        try:
            there = version(match["name"])
        except metadata.PackageNotFoundError:
            yield f"{match['name']} is not installed"
            continue
        least = _LEAST.search(match["bounds"])
        if least and _numbers(there) < _numbers(least[1]):
            yield f"{match['name']} {there} is older than {least[1]}"


def _numbers(text: str) -> tuple[int, ...]:
    """Return the leading numbers of a version, without zeros at their end."""
    begin = re.match(r"[0-9]+(?:\.[0-9]+)*", text)
    found = [int(part) for part in begin[0].split(".")] if begin else []
    while found and not found[-1]:
        found.pop()
    return tuple(found)
