"""Functions that act on each pixel alone: preprocessing, and tests of an embedding for foreground.

A function that saw more than its pixel would see no further than the tile, and would draw seams: scaling each tile by
its own intensities makes neighbouring tiles disagree. The certifier decides: period 1 and a receptive field of one
pixel, or a refusal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import numpy as np

from shiftjax._checks import fail, told
from shiftjax.certifier import Certificate, CertificationError, certify
from shiftjax.tiling import TilePlan
from shiftjax.volume._storage.casting import holds
from shiftjax.volume._targets.provenance import function_provenance


@dataclass(frozen=True)
class Pointwise:
    """A function that acts on each pixel alone, as `prove_pointwise` found; compiled when first called.

    Attributes:
        function: of an image `(1, *space, channel)`.
        image: that it is proved for.
    """

    function: Callable[[Any], Any]
    image: jax.ShapeDtypeStruct

    def __call__(self, image: Any) -> Any:
        return self._compiled(image)

    @cached_property
    def certificate(self) -> Certificate:
        """The proof. Another process finds its own: it may have another version of the function's module.

        Raises:
            CertificationError: there is none.
        """
        return certify(self.function, self.image)

    def provenance(self) -> str:
        """What tells the function from others."""
        return function_provenance(self.function, self.certificate)

    @cached_property
    def _compiled(self) -> Callable[[Any], Any]:
        return jax.jit(self.function)

    def __reduce__(self) -> Any:
        return Pointwise, (self.function, self.image)  # a compiled function cannot be sent to another process


def prove_pointwise(
    name: str, function: Callable[[Any], Any], image: jax.ShapeDtypeStruct, result: jax.ShapeDtypeStruct, mend: str
) -> Pointwise:
    """The function with its proof.

    Args:
        name: of the argument that it was given as.
        function: what is to be proved.
        image: that it takes, `(1, *space, channel)`.
        result: that it must return, with the same space.
        mend: what to do where there is no proof.

    Raises:
        ValueError: no proof, with the certifier's reason; or another result.
    """
    types = f"{image.dtype} {image.shape} to {result.dtype} {result.shape}"
    expected = f"a JAX function from {types} that acts on each pixel alone"
    try:
        proved = Pointwise(function, image)
        certificate = proved.certificate
        returned = jax.eval_shape(function, image)
    except (CertificationError, TypeError, ValueError) as refusal:  # the last two from the function itself
        raise ValueError(
            f"`{name}`: expected {expected}, found no proof of that ({told(refusal)}); {mend}."
        ) from refusal
    if len(certificate.leaves) != 1 or (returned.shape, returned.dtype) != (result.shape, result.dtype):
        arrays = ", ".join(f"{leaf.dtype} {leaf.shape}" for leaf in jax.tree.leaves(returned))
        fail(name, expected, arrays, mend)
    # On a square tile a function that swaps axes has the right shape, and reads one pixel, but not its own.
    if not all(axis.pointwise and axis.output_axis == axis.input_axis for axis in certificate.axes):
        fields = [axis.field for axis in certificate.axes]
        order = [axis.output_axis for axis in certificate.axes]
        fail(name, expected, f"receptive fields {fields}, periods {certificate.period}, image axes at {order}", mend)
    if not _alike_in_a_larger_image(proved):
        fail(name, expected, "one that depends on the size of the image that it is given, here of a tile", mend)
    return proved


def _alike_in_a_larger_image(proved: Pointwise) -> bool:
    """Whether a function is proved to do the same to each pixel of an image that is a pixel longer along each axis."""
    image = proved.image
    larger = jax.ShapeDtypeStruct((1, *(n + 1 for n in image.shape[1:-1]), image.shape[-1]), image.dtype)
    try:
        return certify(proved.function, larger).same_map(proved.certificate)
    except (CertificationError, TypeError, ValueError):
        return False


def check_preprocess(preprocess: Callable[[Any], Any] | None, plan: TilePlan, dtype: np.dtype) -> Pointwise | None:
    """What comes before the network, proved; None for nothing.

    That images of one batch stay apart need not be asked: preprocessing is given one tile at a time.

    Args:
        preprocess: a JAX function of an image, or None.
        plan: of the network that follows.
        dtype: of the source.

    Raises:
        ValueError: `preprocess` does not act on each pixel alone, or does not return the plan's dtype; or without it
            the plan's dtype does not hold the source's.
    """
    if preprocess is None:
        if not holds(np.dtype(plan.dtype), dtype):
            fail("source", f"pixels that {plan.dtype} holds, as planned", dtype, "give a `preprocess` that converts")
        return None
    shape = (1, *plan.tile_input, plan.image_shape[-1])
    image = jax.ShapeDtypeStruct(shape, jax.dtypes.canonicalize_dtype(dtype))
    mend = f"scale all pixels alike and return {plan.dtype}, as planned; `shiftjax.volume.normalize` does for float32"
    return prove_pointwise("preprocess", preprocess, image, jax.ShapeDtypeStruct(shape, plan.dtype), mend)
