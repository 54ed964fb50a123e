"""A network of another library as a function of images whose weights are pytree leaves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np

from shiftjax._checks import fail, images
from shiftjax.certifier import Cut


@runtime_checkable
class Given(Protocol):
    """A network whose statistics of the whole image are given, as `shiftjax.freeze_statistics` returns it."""

    @property
    def cut(self) -> Cut:
        """Where they are in the network."""

    @property
    def values(self) -> Sequence[Any]:
        """Of the statistics."""

    def __call__(self, image: Any) -> Any:
        """The network in JAX, given them."""


@runtime_checkable
class Program(Protocol):
    """What a library knows of a network besides its weights."""

    name: str
    names: tuple[str, ...]
    arrays: tuple[Any, ...]

    def evaluate(self, arrays: Sequence[Any], image: Any) -> Any:
        """The network in JAX."""

    def tile_function(self, network: Network, given: Given | None = None) -> Callable[[np.ndarray], Any] | None:
        """How the library itself computes tiles; None where JAX is to."""

    def versions(self, cut: Cut | None = None) -> Mapping[str, str]:
        """Versions of the programs besides JAX that compute tiles, by name."""

    def why_jax(self, cut: Cut | None = None) -> str:
        """Why JAX computes tiles, in words; empty where the library itself does."""


@jax.tree_util.register_pytree_with_keys_class
class Network:
    """A network of another library: `network(image)`, of an image `(batch, *space, channel)`, in JAX.

    Its leaves are the weights, under the names that the library has for them.
    """

    def __init__(self, program: Program, arrays: Sequence[Any]) -> None:
        self.program, self.arrays = program, tuple(arrays)
        self.__qualname__ = program.name  # by which a certificate calls it

    def __call__(self, image: Any) -> Any:
        """The outputs of the network, with channels last where they have as many axes as the image.

        Raises:
            TranslationError: the network does what has no translation.
            ValueError: it does not take such an image.
        """
        images("image", image)
        return _compiled(self.arrays, image, self.program)

    def tile_function(self, given: Given | None = None) -> Callable[[np.ndarray], Any] | None:
        """How the library itself computes tiles `(tile, *size, channel)` on the host; None where JAX is to.

        Args:
            given: this network with statistics of the whole image; None for the network as it is.

        Raises:
            ValueError: the library's network is no longer the one that was translated.
        """
        return self.program.tile_function(self, given)

    def versions(self, cut: Cut | None = None) -> Mapping[str, str]:
        """Versions of the programs besides JAX that compute tiles, by name; with `cut`, once it is frozen there."""
        return self.program.versions(cut)

    def why_jax(self, cut: Cut | None = None) -> str:
        """Why JAX computes tiles, in words; empty where the library does. With `cut`, once it is frozen there."""
        return self.program.why_jax(cut)

    def __repr__(self) -> str:
        return f"Network({self.program.name}, {len(self.arrays)} arrays)"

    def tree_flatten_with_keys(self) -> tuple[list[tuple[Any, Any]], Program]:
        """The weights by their names, and everything else, for JAX's pytrees."""
        keys = map(jax.tree_util.GetAttrKey, self.program.names)
        return list(zip(keys, self.arrays, strict=True)), self.program

    @classmethod
    def tree_unflatten(cls, program: Program, arrays: Sequence[Any]) -> Network:
        """The inverse of `tree_flatten_with_keys`, without the names."""
        return cls(program, arrays)


@partial(jax.jit, static_argnames="program")
def _compiled(arrays: Sequence[Any], image: Any, program: Program) -> Any:
    return program.evaluate(arrays, image)


def unchanged(network: Network) -> None:
    """Refuses weights that are no longer those of the library's network.

    Raises:
        ValueError: they have changed.
    """
    for name, leaf, own in zip(network.program.names, network.arrays, network.program.arrays, strict=True):
        if leaf is not own and not np.array_equal(np.asarray(leaf), np.asarray(own)):
            mend = 'change the module and translate it again, or translate with run="jax"'
            fail("fn", "the weights of the module, which computes the tiles", f"others in `{name}`", mend)
