"""Masks: opened as sources are, and laid over one; axes that a mask does not name are taken from the source."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from shiftjax._checks import fail
from shiftjax.volume._sources import formats
from shiftjax.volume._sources.axes import ORDER, spatial
from shiftjax.volume._sources.opening import with_axes
from shiftjax.volume._sources.source import Source
from shiftjax.volume._storage.reading import Missing
from shiftjax.volume._storage.uri import check_uri


def open_mask(name: str, mask: Any, source: Source, missing: Missing = "fill") -> Source:
    """A mask over a source: of one channel, and of one image for all or one for each of the source's.

    Args:
        name: of the argument that it was given as.
        mask: array, path or URI, as `open_source` takes it, or what that returns.
        source: that it lies over.
        missing: what a chunk of it stands for that is not there; of a mask that is open already, as it was opened.

    Raises:
        ValueError: axes that do not fit the source's, several channels, or another number of images.
    """
    opened = mask if isinstance(mask, Source) else _open(mask, source, missing)
    if source.planes and not opened.planes and "z" in opened.axes:
        opened = opened.by_planes()
    if opened.space_axes != source.space_axes and _is_flat(opened, source):
        opened = opened.by_planes()
    if opened.space_axes != source.space_axes:
        expected = f"a mask with the spatial axes {source.space_axes!r}, as the source"
        fail(name, expected, f"axes {opened.axes!r} of shape {tuple(opened.array.shape)}", "give one with such axes")
    if opened.channels != 1:
        mend = "choose one with `open_source(mask, channel=...)`"
        fail(name, "a mask with one channel", f"{opened.channels} channels", mend)
    if opened.times not in (1, source.times):
        expected = f"a mask of one image, or of {source.times}" if source.times > 1 else "a mask of one image"
        fail(name, expected, f"one of {opened.times}")
    return replace(opened, assumed=False)


def _is_flat(mask: Source, source: Source) -> bool:
    """Whether a mask has an axis z of one plane more than its source, which has y and x."""
    return source.space_axes == "yx" and mask.space_axes == "zyx" and mask.space[0] == 1


def _open(mask: Any, source: Source, missing: Missing) -> Source:
    mask = check_uri("source", mask, None) if isinstance(mask, str | Path) else mask
    stored = formats.find(mask, 0, None)
    known = stored.names is not None and "?" not in stored.names and len(set(stored.names)) == len(stored.names)
    return with_axes(mask, stored, None if known else _axes(stored.array.shape, source), {}, missing=missing)


def _axes(shape: tuple[int, ...], source: Source) -> str | None:
    """Axes for a mask that does not name its own: those of the source that are left for as many; None in doubt."""
    named = _only(source, ORDER)
    kept = (named.replace("c", ""), _only(source, spatial(named)), _only(source, source.space_axes))
    if len(shape) == len(named) and source.channels == 1:
        return named
    for names in kept:
        if len(names) == len(shape):
            return names
    for names in kept:  # axes of one pixel may stand in a mask without a meaning
        if sum(n > 1 for n in shape) <= len(names) < len(shape):
            return names
    return None


def _only(source: Source, names: str) -> str:
    return "".join(name for name in source.axes if name in names)
