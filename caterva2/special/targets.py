"""Targets of changes: the user's special root, and the path in it."""

from __future__ import annotations

from caterva2.errors import BadUpload
from caterva2.names import DatasetPath, Place
from caterva2.runtime.uncancellable import in_thread
from caterva2.sources.kinds import suffix
from caterva2.special import files
from caterva2.special.copies import Find
from caterva2.special.root import SpecialRoot

SPECIAL = "@personal or @shared or @public roots is allowed"


class Targets:
    """Finds where the changes of a user go.

    Parameters
    ----------
    find : callable
        Returns the user's special root of a name; `NotFound` if the user has none.
    """

    def __init__(self, find: Find) -> None:
        self.find = find

    async def root(self, place: Place, doing: str) -> SpecialRoot:
        """Return the special root of a place; `BadUpload` if it is a published root."""
        if not place.root.is_special:
            raise BadUpload(f"Only {doing} {SPECIAL}")
        return await self.find(place.root)

    async def path(
        self, root: SpecialRoot, place: Place, name: str, *, bare: bool = False
    ) -> DatasetPath:
        """Return the path for a file or directory: in the place if that is a directory.

        Parameters
        ----------
        root : SpecialRoot
        place : Place
        name : str
            Of the file or directory.
        bare : bool
            Whether a place without a suffix is a directory, even if it does not exist yet.
        """
        into = not place.below or place.is_directory or (bare and not suffix(place.below))
        if not into:
            into = await in_thread(lambda: root.directory.thing(place.below)) == "directory"
        path = DatasetPath("/".join(filter(None, (place.below, name))) if into else place.below)
        files.check_name(path)
        return path
