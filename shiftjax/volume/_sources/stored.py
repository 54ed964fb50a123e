"""What lies at an address or was given: an array, and what its metadata say of its axes and pixels."""

from __future__ import annotations

from typing import Any, NamedTuple

from shiftjax.volume._sources.ome_zarr import Geometry


class Stored(NamedTuple):
    """An array with its metadata.

    Attributes:
        array: with `shape`, `dtype` and slicing that reads only what is asked for.
        names: letters of its axes, `?` where the metadata name one that is none of t, c, z, y and x; None for no names.
        geometry: of the axes that have letters.
        said: the names as the metadata have them, for messages.
        binding: the axes, by position, with whose names the caller may only agree.
        assumed: whether the names are those that the library itself assumed when it wrote the array.
        zarr_format: 2 or 3 of a Zarr array, else None.
        remark: what else a reader should know, in words.
    """

    array: Any
    names: str | None
    geometry: Geometry = Geometry()
    said: str = ""
    binding: tuple[int, ...] = ()
    assumed: bool = False
    zarr_format: int | None = None
    remark: str = ""

    def close(self) -> None:
        """Closes the file that was opened, where there is one, since nobody will read it."""
        getattr(getattr(self.array, "store", self.array), "close", bool)()
