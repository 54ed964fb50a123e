"""Functions that compute tiles themselves, outside of JAX: networks that another library runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np


@runtime_checkable
class Hosted(Protocol):
    """A function whose tiles another library may compute: the same map as that of the JAX function."""

    def tile_function(self) -> Callable[[np.ndarray], Any] | None:
        """What computes the outputs of tiles `(tile, *size, channel)`, on the host; None where JAX is to."""

    def versions(self) -> Mapping[str, str]:
        """Versions of the programs besides JAX that compute tiles, by name."""


def tile_function(fn: Any) -> Callable[[np.ndarray], Any] | None:
    """How a function computes tiles itself; None for functions that do not."""
    return fn.tile_function() if isinstance(fn, Hosted) and not isinstance(fn, type) else None


def computed_by(fn: Any) -> Mapping[str, str]:
    """The programs besides JAX that compute a function's tiles, and their versions: others may round differently.

    Args:
        fn: any function of images.

    Returns:
        Versions by the names of the programs; empty where JAX alone computes.
    """
    return fn.versions() if isinstance(fn, Hosted) and not isinstance(fn, type) else {}


class HostFunction:
    """Stands in for a `CompiledFunction`."""

    def __init__(self, compute: Callable[[np.ndarray], Any]) -> None:
        self._compute = compute

    def __call__(self, tiles: Any, crops: Any, places: tuple[int, ...], sharding: Any, starts: Any = None) -> Any:
        """The cropped outputs of the tiles, as a `CompiledFunction` gives them."""
        outputs, tree = jax.tree.flatten(self._compute(np.asarray(tiles)))
        kept: list[Any] = [None] * len(outputs)
        for j, (k, crop) in enumerate(zip(places, crops, strict=True)):
            y = outputs[k]
            if starts is None:
                kept[k] = y[(slice(None), *(slice(start, stop) for start, stop in crop))]
                continue
            parts = y.reshape(len(starts), -1, *y.shape[1:])
            cut = [
                part[(slice(None), *(slice(a, a + stop - b) for a, (b, stop) in zip(start[j], crop, strict=True)))]
                for part, start in zip(parts, starts, strict=True)
            ]
            kept[k] = np.concatenate(cut)
        return jax.tree.unflatten(tree, kept)
