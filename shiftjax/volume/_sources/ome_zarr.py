"""OME-Zarr's multiscales: axes, pixel sizes and where the arrays are; 0.4, 0.5 and 0.6 are read, 0.4 and 0.5 written.

Nothing that a file says is taken on trust: whatever an entry is instead of what the format asks for, the error is one
sentence that names it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from shiftjax._checks import fail, shown
from shiftjax.volume._sources import axes as axis_names

TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
LETTERS = {"time": "t", "channel": "c"}
READ = re.compile(r"0\.[456](\D.*)?")  # the last while it is being written too: 0.6.dev1
ASSUMED = "assumed axes"  # in the image's `metadata`, which is for remarks: the axes that the source did not name
MICROMETER = ("um", "µm", "μm", "\\u00B5m", "micron", "microns")  # the fourth is how ImageJ writes it
UNITS = {  # short names in use, and the names that the format asks for
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
CONVERT = "convert the image to OME-Zarr 0.5, or open its array by path and say its `axes`"


@dataclass(frozen=True)
class Geometry:
    """Where pixels lie in the world, per axis name.

    Attributes:
        scale: size of a pixel, in `units`; 1 for an axis that is not here.
        translation: of the first pixel's centre, in `units`.
        units: names such as "micrometer".
    """

    scale: Mapping[str, float] = field(default_factory=dict)
    translation: Mapping[str, float] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)


class Level(NamedTuple):
    """One resolution of an image.

    Attributes:
        path: of its array, in the image's group.
        axes: letters, `?` for an axis that is none of t, c, z, y and x.
        geometry: of its pixels.
        assumed: whether the library itself wrote the image, from a source that named no axes.
    """

    path: str
    axes: str
    geometry: Geometry
    assumed: bool = False


def multiscale(attributes: Mapping[str, Any]) -> dict[str, Any] | None:
    """The first multiscale image that a group's attributes describe; None where they describe none.

    Raises:
        ValueError: something else is in its place, or it is of a version that is not read.
    """
    described = attributes.get("ome", attributes)
    if not isinstance(described, Mapping):
        fail("source", "an entry `ome` with the image's metadata", shown(described))
    images = described.get("multiscales")
    if images is None or images == []:
        return None
    if not isinstance(images, list) or not isinstance(images[0], Mapping):
        fail("source", "a list of images as OME-Zarr's `multiscales`", shown(images))
    version = images[0].get("version", described.get("version"))
    if version is not None and not READ.fullmatch(str(version)):
        fail("source", "an image of OME-Zarr 0.4, 0.5 or 0.6", f"version {shown(version)}", CONVERT)
    return dict(images[0])


def read_levels(image: Mapping[str, Any]) -> list[Level]:
    """The resolutions of an image, the finest first.

    Raises:
        ValueError: an entry is missing, or is not what the format asks for.
    """
    datasets, axes = _list(image, "datasets"), _axes(image)
    names = axis_names.letters([_name(axis) for axis in axes])
    units = {a: str(axis["unit"]) for a, axis in zip(names, axes, strict=True) if axis.get("unit")}
    note = image.get("metadata")
    assumed = isinstance(note, Mapping) and note.get(ASSUMED) is not None
    # Since 0.6 those of the whole image lead from its own coordinate system to others.
    parts_after = (image,) if "axes" in image else ()
    levels = []
    for dataset in datasets:
        path = dataset.get("path") if isinstance(dataset, Mapping) else None
        if not isinstance(path, str) or not path or path.startswith("/") or ".." in path.split("/"):
            fail("source", "a `path` within the image in each entry of OME-Zarr's `datasets`", shown(path or dataset))
        scale, translation = [1.0] * len(axes), [0.0] * len(axes)
        for part in (dataset, *parts_after):
            for step in _steps(part):
                scale, translation = _after(step, scale, translation)
        geometry = Geometry(
            dict(zip(names, scale, strict=True)), dict(zip(names, translation, strict=True)), dict(units)
        )
        levels.append(Level(path, names, geometry, assumed))
    return levels


def _list(entries: Mapping[str, Any], name: str) -> list[Any]:
    found = entries.get(name)
    if not isinstance(found, list) or not found:
        fail("source", f"a list as `{name}` of the OME-Zarr image", shown(found))
    return found


def _axes(image: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The axes: an entry of their own, or since 0.6 those of the coordinate system that levels are mapped to."""
    if "axes" not in image and "coordinateSystems" in image:
        systems = [system for system in _list(image, "coordinateSystems") if isinstance(system, Mapping)]
        outputs = {_target_system(step) for dataset in _list(image, "datasets") for step in _steps(dataset)} - {None}
        named = [system for system in systems if system.get("name") in outputs]
        chosen = named or systems
        if not chosen:
            fail("source", "OME-Zarr's coordinate systems", shown(image["coordinateSystems"]))
        axes = _list(chosen[0], "axes")
    elif "axes" not in image:  # before 0.3, whatever version is written down
        fail("source", "axes that the OME-Zarr image names", "none", CONVERT)
    else:
        axes = _list(image, "axes")
    for axis in axes:
        if not isinstance(axis, Mapping) or not isinstance(axis.get("name"), str):
            fail("source", "a name for each of the OME-Zarr image's `axes`", shown(axis), CONVERT)
    return axes


def _name(axis: Mapping[str, Any]) -> str:
    kind = axis.get("type")
    return LETTERS.get(kind, axis["name"]) if isinstance(kind, str) else axis["name"]


def _target_system(step: Mapping[str, Any]) -> str | None:
    output = step.get("output")
    name = output.get("name") if isinstance(output, Mapping) else output
    return name if isinstance(name, str) else None


def _steps(part: Any) -> list[Mapping[str, Any]]:
    """The transformations of a level or of an image, one after the other."""
    steps = part.get("coordinateTransformations", []) if isinstance(part, Mapping) else None
    if not isinstance(steps, list) or not all(isinstance(step, Mapping) for step in steps):
        fail("source", "a list as OME-Zarr's `coordinateTransformations`", shown(steps))
    flat: list[Mapping[str, Any]] = []
    for step in steps:
        inner = step.get("transformations") if step.get("type") == "sequence" else [step]
        if not isinstance(inner, list) or not all(isinstance(each, Mapping) for each in inner):
            fail("source", "a list as `transformations` of an OME-Zarr sequence", shown(inner))
        flat += [{**each, "output": step.get("output")} for each in inner]
    return flat


def _after(step: Mapping[str, Any], scale: list[float], shift: list[float]) -> tuple[list[float], list[float]]:
    """A scale and a translation, followed by a transformation."""
    kind = step.get("type")
    if kind == "identity":
        return scale, shift
    if kind not in ("scale", "translation"):
        fail(
            "source", "scales and translations of an OME-Zarr image", f"a transformation of type {shown(kind)}", CONVERT
        )
    numbers = [_number(value) for value in step.get(kind) or ()] if isinstance(step.get(kind), list) else []
    if len(numbers) != len(scale) or not all(map(math.isfinite, numbers)) or (kind == "scale" and min(numbers) <= 0):
        expected = f"{len(scale)} {'positive ' if kind == 'scale' else ''}numbers as OME-Zarr's `{kind}`, one per axis"
        fail("source", expected, shown(step.get(kind)))
    if kind == "translation":
        return scale, [a + b for a, b in zip(shift, numbers, strict=True)]
    return [a * b for a, b in zip(scale, numbers, strict=True)], [a * b for a, b in zip(shift, numbers, strict=True)]


def _number(value: Any) -> float:
    """A number of JSON; NaN for anything else, and for an integer that no float holds."""
    try:
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    except OverflowError:
        return math.nan


def attributes(
    axes: Sequence[str],
    geometry: Geometry,
    zarr_format: int,
    name: str,
    *,
    levels: Sequence[Geometry] = (),
    assumed: str | None = None,
    **entries: Any,
) -> dict[str, Any]:
    """Attributes of an OME-Zarr group with the arrays `0`, `1`, ...: version 0.4 in Zarr v2, 0.5 in v3.

    Args:
        axes: letters in the order t, c, z, y, x.
        geometry: of the pixels of `0`.
        zarr_format: 2 or 3.
        name: of the image.
        levels: geometries of the coarser arrays.
        assumed: the axes of the source, where it named none and they were assumed; None where it named them.
        entries: further ones beside `multiscales`, such as `image_label`; underscores stand for hyphens.
    """
    units = {axis: {"unit": UNITS.get(unit, unit)} for axis, unit in geometry.units.items()}
    described = [{"name": axis, "type": TYPES[axis], **units.get(axis, {})} for axis in axes]
    datasets = [dataset(str(k), axes, level) for k, level in enumerate([geometry, *levels])]
    image: dict[str, Any] = {"name": name, "axes": described, "datasets": datasets}
    if assumed is not None:
        image["metadata"] = {ASSUMED: assumed}
    hyphenated = {key.replace("_", "-"): value for key, value in entries.items()}
    if zarr_format == 2:
        return {"multiscales": [{"version": "0.4", **image}], **hyphenated}
    return {"ome": {"version": "0.5", "multiscales": [image], **hyphenated}}


def dataset(path: str, axes: Sequence[str], geometry: Geometry) -> dict[str, Any]:
    """The entry of one level."""
    steps: list[dict[str, Any]] = [{"type": "scale", "scale": [float(geometry.scale.get(axis, 1)) for axis in axes]}]
    if any(geometry.translation.get(axis) for axis in axes):
        steps.append({"type": "translation", "translation": [float(geometry.translation.get(a, 0)) for a in axes]})
    return {"path": path, "coordinateTransformations": steps}
