"""OME-Zarr's multiscales: axes, pixel sizes and where the array is; versions 0.1 to 0.5 read, 0.4 and 0.5 written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shiftjax._checks import fail

TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
LETTERS = {"time": "t", "channel": "c"}


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


def multiscale(attributes: Mapping[str, Any]) -> dict[str, Any] | None:
    """The first multiscale image that a group's attributes describe; None where they describe none."""
    images = attributes.get("ome", attributes).get("multiscales")
    return dict(images[0]) if images else None


def read_level(image: Mapping[str, Any], level: int) -> tuple[str, str | None, Geometry]:
    """Path, axes (None where the metadata name none) and geometry of one level; 0 is the finest.

    Raises:
        ValueError: no such level, or axes other than t, c, z, y and x.
    """
    datasets = image["datasets"]
    if not 0 <= level < len(datasets):
        fail("level", f"0 to {len(datasets) - 1}", level)
    named = image.get("axes")
    if not named:  # before version 0.3
        return datasets[level]["path"], None, Geometry()
    described = [axis if isinstance(axis, Mapping) else {"name": axis} for axis in named]
    axes = "".join(map(_letter, described))
    scale, translation = [1.0] * len(axes), [0.0] * len(axes)
    for part in (datasets[level], image):  # the image's transformation comes after the level's
        for step in part.get("coordinateTransformations", ()):
            if step["type"] == "scale" and "scale" in step:
                scale = [a * b for a, b in zip(scale, step["scale"], strict=True)]
                translation = [a * b for a, b in zip(translation, step["scale"], strict=True)]
            elif step["type"] == "translation" and "translation" in step:
                translation = [a + b for a, b in zip(translation, step["translation"], strict=True)]
    units = {letter: axis["unit"] for letter, axis in zip(axes, described, strict=True) if axis.get("unit")}
    geometry = Geometry(dict(zip(axes, scale, strict=True)), dict(zip(axes, translation, strict=True)), units)
    return datasets[level]["path"], axes, geometry


def _letter(axis: Mapping[str, Any]) -> str:
    letter = LETTERS.get(axis.get("type", ""), str(axis["name"]).lower())
    if letter not in TYPES:
        fail("source", "an OME-Zarr image with axes among t, c, z, y and x", f"an axis {axis['name']!r}")
    return letter


def attributes(axes: Sequence[str], geometry: Geometry, zarr_format: int, name: str, **entries: Any) -> dict[str, Any]:
    """Attributes of an OME-Zarr group whose one level is its array `0`: version 0.4 in Zarr v2, 0.5 in v3.

    Args:
        axes: letters in the order t, c, z, y, x.
        geometry: of the pixels.
        zarr_format: 2 or 3.
        name: of the image.
        entries: further ones beside `multiscales`, such as `image_label`; underscores stand for hyphens.
    """
    described = [
        {"name": axis, "type": TYPES[axis], **({"unit": geometry.units[axis]} if axis in geometry.units else {})}
        for axis in axes
    ]
    steps: list[dict[str, Any]] = [{"type": "scale", "scale": [float(geometry.scale.get(axis, 1)) for axis in axes]}]
    if any(geometry.translation.get(axis) for axis in axes):
        steps.append({"type": "translation", "translation": [float(geometry.translation.get(a, 0)) for a in axes]})
    datasets = [{"path": "0", "coordinateTransformations": steps}]
    image: dict[str, Any] = {"name": name, "axes": described, "datasets": datasets}
    hyphenated = {key.replace("_", "-"): value for key, value in entries.items()}
    if zarr_format == 2:
        return {"multiscales": [{"version": "0.4", **image}], **hyphenated}
    return {"ome": {"version": "0.5", "multiscales": [image], **hyphenated}}
