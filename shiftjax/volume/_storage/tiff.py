"""TIFF files: their first image, its axes, and its pixel sizes as ImageJ and OME write them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

from shiftjax._checks import fail
from shiftjax._extras import require
from shiftjax.volume._storage.errors import reason
from shiftjax.volume._storage.ome_zarr import Geometry

MICROMETER = ("um", "µm", "μm", "\\u00B5m", "micron", "microns")  # the fourth is how ImageJ writes it
UNITS = {
    **dict.fromkeys(MICROMETER, "micrometer"),
    "pm": "picometer",
    "Å": "angstrom",
    "nm": "nanometer",
    "mm": "millimeter",
    "cm": "centimeter",
    "m": "meter",
    "s": "second",
    "sec": "second",
    "ms": "millisecond",
    "min": "minute",
}


def is_tiff(name: str) -> bool:
    """Whether a path is that of a TIFF file."""
    return name.lower().endswith((".tif", ".tiff"))


def open_level(path: str, level: int) -> tuple[Any, str, Geometry]:
    """The zarr array of the first image, its axes in lower case as the file names them, and its pixel sizes.

    Args:
        path: of the file.
        level: of a pyramid; 0 is the finest.

    Raises:
        ValueError: no TIFF file, or no such level.
    """
    tifffile = require("tifffile", "volume")
    try:
        with tifffile.TiffFile(path) as file:
            series = file.series[0]
            if level >= len(series.levels):
                fail("level", f"0 to {len(series.levels) - 1}", level)
            array = require("zarr", "volume").open(series.aszarr(level=level), mode="r")
            return array, series.axes.lower(), _geometry(file, level)
    except (OSError, IndexError, TypeError, tifffile.TiffFileError) as error:
        fail("source", "a TIFF file", f"none at {path!r} ({reason(error)})")


def _geometry(file: Any, level: int) -> Geometry:
    """Pixel sizes of the finest level, as OME or ImageJ wrote them; TIFF does not tell those of other levels."""
    if file.is_ome and not level:
        return _of_ome(file.ome_metadata)
    if file.is_imagej and not level:
        return _of_imagej(file.imagej_metadata, file.pages[0].tags)
    return Geometry()


def _of_ome(xml: str) -> Geometry:
    try:
        pixels = next((each for each in ElementTree.fromstring(xml).iter() if each.tag.endswith("}Pixels")), None)
    except ElementTree.ParseError:
        return Geometry()
    attributes = {} if pixels is None else pixels.attrib
    keys = {axis: f"PhysicalSize{axis.upper()}" for axis in "zyx"} | {"t": "TimeIncrement"}
    scale = {axis: _positive(attributes.get(key)) for axis, key in keys.items()}
    units = {axis: attributes.get(f"{key}Unit", "s" if axis == "t" else "µm") for axis, key in keys.items()}
    return _known(scale, units)


def _of_imagej(metadata: Mapping[str, Any], tags: Any) -> Geometry:
    scale = {"z": _positive(metadata.get("spacing")), "t": _positive(metadata.get("finterval"))}
    for axis, key in (("y", "YResolution"), ("x", "XResolution")):  # pixels per unit, as a fraction
        numerator, denominator = tags[key].value if key in tags else (0, 0)
        scale[axis] = _positive(denominator / numerator if numerator else None)
    return _known(scale, dict.fromkeys("zyx", str(metadata.get("unit", ""))) | {"t": "s"})


def _positive(text: Any) -> float | None:
    """A size; None where it is missing or means nothing."""
    try:
        size = float(text)
    except (TypeError, ValueError):
        return None
    return size if math.isfinite(size) and size > 0 else None


def _known(scale: Mapping[str, float | None], units: Mapping[str, str]) -> Geometry:
    """The geometry of the axes whose pixel size is known."""
    sizes = {axis: size for axis, size in scale.items() if size is not None}
    return Geometry(sizes, {}, {axis: UNITS[units[axis]] for axis in sizes if units[axis] in UNITS})
