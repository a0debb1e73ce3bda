"""How to read a slice elsewhere: lines of code for other tools."""

from __future__ import annotations

import shlex
import urllib.parse
from dataclasses import dataclass

from caterva2.arrays.fields import FieldPath
from caterva2.pages import figures
from caterva2.pages.data.records import Order
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


_TEMPLATES = (
    ("python", "Python", "python", """\
import caterva2

client = caterva2.Client({url!r})
array = client.get({path!r})
values = array{read}
"""),
    ("cat2cli", "cat2cli", "bash", "cat2cli --subscriber {url_word} show {part_word}{note}\n"),
    ("curl", "curl", "bash", """\
curl --fail --output values.npy {npy_word}
python -c "import numpy; print(numpy.load('values.npy'))"
"""),
    ("xarray", "xarray", "python", """\
{where}import xarray

data = xarray.open_dataset({directory!r}, engine="caterva2")
values = data[{variable!r}].data{index}
"""),
    ("zarr", "zarr", "python", """\
import zarr

array = zarr.open_array({zarr!r}, mode="r")
values = array{index}
"""),
)  # fmt: skip
"""For each tool its name in the page, its title, the language, and the lines."""
_WHERE = 'import os\n\nos.environ["CATERVA2_URL"] = {url!r}\n'
"""For a subscriber behind a prefix, which has no place in a cat2:// URL."""
_NOTE = "  # all fields: it takes one of them, or a slice"


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
    order : Order
        Of records, whose files have the rows that match.
    """

    url: str
    path: str
    key: str
    field: FieldPath
    is_whole: bool
    order: Order

    def snippets(self) -> list[Snippet]:
        """Return the code for each tool."""
        given = self._given()
        return [
            Snippet(name, title, lines.format_map(given), language)
            for name, title, language, lines in _TEMPLATES
        ]

    def file(self, form: str) -> str:
        """Return the URL of the slice as a file, of records in their order."""
        query = {"format": form}
        if self.order.sort or self.order.where:
            query |= {"sort": self.order.sort, "filter": self.order.where}
            return self._address("table", **query)
        return self._address("fetch", field=".".join(self.field), **query)

    def picture(self) -> str:
        """Return the URL of the slice as a PNG file."""
        return self._address("image", field=".".join(self.field), size="2048")

    def _address(self, call: str, **given: str) -> str:
        place = figures.path("api", call, self.path)
        return self.url + place + figures.query(slice_=self.key, **given)

    def _given(self) -> dict[str, str]:
        """Return what stands in the lines."""
        index = f"[{self.key or '()'}]"
        picked = "".join(f"[{name!r}]" for name in self.field)
        host = urllib.parse.urlsplit(self.url)
        scheme = "cat2s" if host.scheme == "https" and not host.path else "cat2"
        directory, _, name = self.path.rpartition("/")
        key = f"[{self.key}]" if self.key else ""
        if self.field and self.is_whole:
            key = f'["{".".join(self.field)}"]'
        return {
            "url": self.url, "path": self.path, "index": index + picked,
            "read": picked + index if len(self.field) == 1 else index + picked,
            "url_word": shlex.quote(self.url), "part_word": shlex.quote(self.path + key),
            "note": _NOTE if self.field and not self.is_whole else "",
            "npy_word": shlex.quote(self.file("npy")),
            "directory": f"{scheme}://{'' if host.path else host.netloc}/{directory}",
            "where": _WHERE.format(url=self.url) if host.path else "",
            "variable": name[:-5] if name.lower().endswith(".b2nd") else name,
            "zarr": self.url + figures.path("zarr", self.path),
        }  # fmt: skip
