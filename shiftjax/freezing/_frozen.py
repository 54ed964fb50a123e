"""A function whose statistics of the whole image are given: a map that tiles like any other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.tree_util import GetAttrKey, Partial

from shiftjax._checks import fail
from shiftjax.certifier import Cut
from shiftjax.freezing._file import described, write_statistics
from shiftjax.translation import Network

Fn = Callable[[Any], Any]


@dataclass(frozen=True)
class FrozenStatistic:
    """One statistic of the whole image.

    Attributes:
        operation: "sum", "max", "min", "sum of squares" or "variance".
        source: "file:line" of the code that takes it.
        shape: of its value.
        value: what was measured.
        count: how many numbers each entry of the value is taken over.
        measured_in: which pass over the image measured it, from 1.
    """

    operation: str
    source: str
    shape: tuple[int, ...]
    value: np.ndarray
    count: int
    measured_in: int


@dataclass(frozen=True, eq=False)
class Frozen:
    """A function with statistics of one image, as `freeze_statistics` returns it. It is called as the function is.

    It is a pytree: parameters of the function and values of the statistics are its leaves.

    Attributes:
        fn: the function.
        values: of the statistics, in the order of `statistics`.
        cut: where in the function they are taken.
        sample: which part of the image they are of, in words; empty where they are of all of it.
        remark: what is proved only up to rounding, in words; empty where nothing is.
    """

    fn: Fn
    values: tuple[Any, ...]
    cut: Cut
    sample: str = ""
    remark: str = ""

    def __call__(self, image: Any) -> Any:
        """What the function gives for an image `(batch, *space, channel)` of any size, with the measured statistics."""
        return self.cut.outputs(self.fn, self.values, image)

    @property
    def statistics(self) -> list[FrozenStatistic]:
        """What was measured, in the order of the program."""
        measures = self.cut.measures
        return [
            FrozenStatistic(
                one.operation, one.source, one.shape, np.asarray(value), measures[one.measure].layout.count, one.stage
            )
            for one, value in zip(self.cut.statistics, self.values, strict=True)
        ]

    @property
    def image_shape(self) -> tuple[int, ...]:
        """`(batch, *space, channel)` of the image that the statistics are of."""
        return self.cut.shape

    @property
    def __wrapped__(self) -> Fn:
        return self.fn

    def tile_function(self) -> Callable[[np.ndarray], Any] | None:
        """How the library of a translated network computes tiles, given the statistics; None where JAX is to."""
        return self.fn.tile_function(self) if isinstance(self.fn, Network) else None

    def versions(self) -> Mapping[str, str]:
        """Versions of the programs besides JAX that compute tiles, by name."""
        return self.fn.versions(self.cut) if isinstance(self.fn, Network) else {}

    @property
    def why_jax(self) -> str:
        """Of a translated network: why JAX computes its tiles, in words; empty where the network's library does."""
        return self.fn.why_jax(self.cut) if isinstance(self.fn, Network) else "the function is one of JAX"

    def __repr__(self) -> str:
        of = f"{self.sample} of an image" if self.sample else "an image"
        return f"<{len(self.values)} statistics of {of}, measured at {self.image_shape}>"

    def save(self, path: str | Path) -> None:
        """Writes the statistics into an .npz file without pickles, which `load_statistics(fn, path)` reads."""
        write_statistics(self, path)

    def given(self, values: Sequence[Any]) -> Frozen:
        """The same function with other values of the statistics."""
        return replace(self, values=tuple(values))

    def __reduce__(self) -> Any:
        """By what it is made of: the cut is found again, in another process too."""
        values = tuple(map(np.asarray, self.values))
        cut = self.cut
        return _again, (self.fn, values, cut.shape, str(cut.dtype), cut.name, self.sample, self.remark)


def _parts(frozen: Frozen) -> tuple[Any, Any]:
    fields = [(GetAttrKey("fn"), frozen.fn), (GetAttrKey("statistics"), frozen.values)]
    return fields, (frozen.cut, frozen.sample, frozen.remark)


def _put_together(about: Any, fields: Any) -> Frozen:
    return Frozen(*fields, *about)


jax.tree_util.register_pytree_with_keys(Frozen, _parts, _put_together)


def _again(
    fn: Fn, values: tuple[Any, ...], shape: tuple[int, ...], dtype: str, name: str, sample: str, remark: str
) -> Frozen:
    """What `Frozen.__reduce__` takes apart."""
    return Frozen(fn, values, Cut(fn, described(shape, dtype), name), sample, remark)


@jax.tree_util.register_pytree_with_keys_class
@dataclass(frozen=True, eq=False)
class Operands:
    """The function of an image that gives what some measures are taken of, as images `(batch, *space, channel)`.

    Attributes:
        frozen: the function, with the statistics of earlier passes.
        which: the numbers of the measures.
    """

    frozen: Frozen
    which: tuple[int, ...]

    def __call__(self, image: Any) -> list[Any]:
        if image.shape[0] != self.frozen.image_shape[0]:
            fail("image", "as many images as are measured", f"{image.shape[0]}")  # one tile at a time is measured
        return self.frozen.cut.operands(self.frozen.fn, self.frozen.values, image, self.which)

    @property
    def __wrapped__(self) -> Fn:
        return self.frozen.fn

    def tree_flatten_with_keys(self) -> tuple[Any, Any]:
        return [(GetAttrKey("frozen"), self.frozen)], self.which

    @classmethod
    def tree_unflatten(cls, which: Any, fields: Any) -> Operands:
        return cls(fields[0], which)


def unmeasured(fn: Fn, cut: Cut, **about: str) -> Frozen:
    """A function whose statistics have shapes and types, and no values."""
    leaf = jax.tree_util.treedef_is_leaf(jax.tree_util.tree_structure(fn))
    values = tuple(jax.ShapeDtypeStruct(one.shape, one.dtype) for one in cut.statistics)
    return Frozen(Partial(fn) if leaf else fn, values, cut, **about)
