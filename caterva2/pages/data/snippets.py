"""How to read a slice elsewhere: lines of code for other tools."""

from __future__ import annotations

import shlex
import urllib.parse
from dataclasses import dataclass

from caterva2.arrays.fields import FieldPath
from caterva2.pages.display.highlight import highlighted


@dataclass(frozen=True, slots=True)
class Snippet:
    """Lines of code for a tool; ``shown`` are these with the markup of their syntax."""

    name: str
    title: str
    code: str
    language: str

    @property
    def shown(self) -> str:
        """The code as HTML."""
        return highlighted(self.code, self.language)


@dataclass(frozen=True, slots=True)
class Slice:
    """A slice of a dataset at a subscriber.

    Parameters
    ----------
    url : str
        Of the subscriber, without a slash at its end.
    path : str
        With the root.
    key : str
        The slice string, empty for a single item.
    field : tuple of str
        Names that lead to a field, empty for whole items.
    is_whole : bool
        Whether the slice is all of the array.
    """

    url: str
    path: str
    key: str
    field: FieldPath
    is_whole: bool

    def snippets(self) -> list[Snippet]:
        """Return the code for each tool."""
        return [
            Snippet("python", "Python", self._python(), "python"),
            Snippet("cat2cli", "cat2cli", self._cat2cli(), "bash"),
            Snippet("curl", "curl", self._curl(), "bash"),
            Snippet("xarray", "xarray", self._xarray(), "python"),
            Snippet("zarr", "zarr", self._zarr(), "python"),
        ]

    @property
    def _index(self) -> str:
        return f"[{self.key or '()'}]"

    @property
    def _picked(self) -> str:
        return "".join(f"[{name!r}]" for name in self.field)

    def fetch(self, form: str) -> str:
        """Return the URL of the slice as a file."""
        given = {"slice_": self.key, "field": ".".join(self.field), "format": form}
        query = urllib.parse.urlencode({name: text for name, text in given.items() if text})
        return f"{self.url}/api/fetch/{urllib.parse.quote(self.path, safe='/@')}?{query}"

    def picture(self) -> str:
        """Return the URL of the slice as a PNG file."""
        given = {"slice_": self.key, "field": ".".join(self.field), "size": "2048"}
        query = urllib.parse.urlencode({name: text for name, text in given.items() if text})
        return f"{self.url}/api/image/{urllib.parse.quote(self.path, safe='/@')}?{query}"

    def _python(self) -> str:
        alone = len(self.field) == 1  # then only it is sent
        read = self._picked + self._index if alone else self._index + self._picked
        return (
            "import caterva2\n\n"
            f"client = caterva2.Client({self.url!r})\n"
            f"array = client.get({self.path!r})\n"
            f"values = array{read}\n"
        )

    def _cat2cli(self) -> str:
        if self.field and self.is_whole:
            key, note = f'["{".".join(self.field)}"]', ""
        else:
            key = f"[{self.key}]" if self.key else ""
            note = "  # all fields: it takes one of them, or a slice" if self.field else ""
        url, path = shlex.quote(self.url), shlex.quote(self.path + key)
        return f"cat2cli --subscriber {url} show {path}{note}\n"

    def _curl(self) -> str:
        return (
            f"curl --fail --output values.npy {shlex.quote(self.fetch('npy'))}\n"
            "python -c \"import numpy; print(numpy.load('values.npy'))\"\n"
        )

    def _xarray(self) -> str:
        host = urllib.parse.urlsplit(self.url)
        scheme = "cat2s" if host.scheme == "https" else "cat2"
        directory, _, name = self.path.rpartition("/")
        variable = name[:-5] if name.lower().endswith(".b2nd") else name
        return (
            "import xarray\n\n"
            f"data = xarray.open_dataset({f'{scheme}://{host.netloc}/{directory}'!r}, "
            'engine="caterva2")\n'
            f"values = data[{variable!r}].data{self._index}{self._picked}\n"
        )

    def _zarr(self) -> str:
        quoted = urllib.parse.quote(self.path, safe="/@")
        return (
            "import zarr\n\n"
            f'array = zarr.open_array({f"{self.url}/zarr/{quoted}"!r}, mode="r")\n'
            f"values = array{self._index}{self._picked}\n"
        )
