"""Which pixels belong to objects: all, those of a mask, or those of which a function of the embedding says so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import numpy as np

from shiftjax._checks import fail
from shiftjax.certifier import CertificationError, certify
from shiftjax.tiling._plan import TilePlan
from shiftjax.volume._jobs.job import Item
from shiftjax.volume._segmentation.embedding import Embedding
from shiftjax.volume._storage.provenance import digest, pointwise_digest, sample
from shiftjax.volume._storage.source import Source, open_source

Inside = Callable[[Item, np.ndarray], np.ndarray]  # tile and its embedding (1, *space, channel) -> booleans (*space)


def everywhere(item: Item, tile: np.ndarray) -> np.ndarray:
    """All pixels."""
    return np.ones(tile.shape[1:-1], bool)


@dataclass(frozen=True)
class InMask:
    """The pixels where a stored mask is not zero; the same at all time points where it has one."""

    mask: Source
    plan: TilePlan

    def __call__(self, item: Item, tile: np.ndarray) -> np.ndarray:
        read = self.mask.at(item[0] if self.mask.times > 1 else 0)
        return read(self.plan.output_slices(item[1:]))[0, ..., 0] != 0


@dataclass(frozen=True)
class WhereTrue:
    """The pixels of which a function of the embedding says so."""

    function: Callable[[Any], Any]

    def __call__(self, item: Item, tile: np.ndarray) -> np.ndarray:
        return np.asarray(self._jitted(tile))[0]

    @cached_property
    def _jitted(self) -> Callable[[Any], Any]:
        return jax.jit(self.function)

    def __reduce__(self) -> Any:
        return WhereTrue, (self.function,)  # without what it caches


def open_foreground(foreground: Any, embedding: Embedding) -> tuple[Inside, Any]:
    """The test of pixels, and what identifies it.

    Args:
        foreground: None; or an array, path or URI of a mask, nonzero in objects; or a JAX function of
            `(1, *space, channel)` that gives booleans `(1, *space)`, each from its pixel alone.
        embedding: of which they are the pixels.

    Raises:
        ValueError: a mask of another size, or a function that is not such, with the certifier's reason.
    """
    if foreground is None:
        return everywhere, "all"
    if callable(foreground) and not hasattr(foreground, "shape"):
        image = jax.ShapeDtypeStruct(
            (1, *embedding.work.plan.tile_output, embedding.channels), jax.dtypes.canonicalize_dtype(embedding.dtype)
        )
        _check_function(foreground, image)
        return WhereTrue(foreground), pointwise_digest(foreground, image)
    mask = _open_mask(foreground, embedding.work.source)
    return InMask(mask, embedding.work.plan), {
        "pixels": digest(mask.axes, mask.array.shape, mask.dtype),
        "blocks": sample(mask),
    }


def _check_function(function: Callable[[Any], Any], image: jax.ShapeDtypeStruct) -> None:
    """A test that saw more than its pixel would be a seam: it would see no further than the tile."""
    wanted = f"a JAX function of an embedding {image.shape} to booleans {image.shape[:-1]}, each of its pixel alone"
    mend = "say `lambda y: y[..., 0] > 0`, or give a mask"
    try:
        certificate = certify(function, image)
    except CertificationError as refusal:
        raise ValueError(
            f"`foreground`: expected {wanted}, found one without a proof ({refusal}); {mend}."
        ) from refusal
    made = jax.eval_shape(function, image)
    if made.shape != image.shape[:-1] or made.dtype != bool:
        fail("foreground", wanted, f"{made.dtype} {made.shape}", mend)
    if any((axis.period, tuple(axis.lo), tuple(axis.hi)) != (1, (0,), (0,)) for axis in certificate.axes):
        fail("foreground", wanted, f"receptive fields {[axis.field for axis in certificate.axes]}", mend)


def _open_mask(mask: Any, source: Source) -> Source:
    names = source.axes.replace("c", "")
    axes = None
    if hasattr(mask, "ndim"):
        axes = names if mask.ndim == len(names) else names.replace("t", "")
    found = open_source(mask, axes)
    if found.space != source.space or found.channels != 1 or found.times not in (1, source.times):
        shape = f"{found.space} with {found.channels} channels and {found.times} time points"
        fail("foreground", f"a mask of {source.space} pixels", shape, "scale it to the image first")
    return found
