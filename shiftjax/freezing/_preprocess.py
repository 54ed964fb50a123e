"""What comes before the network, pixel by pixel, as the tiles are read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shiftjax._checks import fail, function, told
from shiftjax._parameters import take_apart
from shiftjax.certifier import CertificationError, certify
from shiftjax.freezing._picture import Picture, Slices

EXPECTED = "a JAX function that acts on each pixel alone"
SIZE = 8  # pixels per axis at which channels and type of the result are found


def preprocessed(raw: Picture, preprocess: Callable[[Any], Any]) -> Picture:
    """An image that is preprocessed as it is read.

    Raises:
        ValueError: what does not act on each pixel alone; when that is read too, since it may depend on the shape.
    """
    function("preprocess", preprocess)
    dtype = jax.dtypes.canonicalize_dtype(raw.dtype)

    @cache
    def proved(shape: tuple[int, ...]) -> Any:
        image = jax.ShapeDtypeStruct(shape, dtype)
        try:
            certificate = certify(preprocess, image)
            returned = jax.tree.leaves(jax.eval_shape(preprocess, image))
        except (CertificationError, TypeError, ValueError) as refusal:
            fail("preprocess", EXPECTED, f"no proof of that ({told(refusal)})")
        alone = all(axis.pointwise and axis.output_axis == axis.input_axis for axis in certificate.axes)
        if len(returned) != 1 or returned[0].shape[:-1] != shape[:-1] or not alone:
            fail("preprocess", EXPECTED, f"one with receptive fields {[axis.field for axis in certificate.axes]}")
        return certificate.fingerprint, returned[0]

    run = jax.jit(preprocess)

    def read(slices: Slices) -> np.ndarray:
        pixels = raw.read(slices).astype(dtype, copy=False)
        proved(pixels.shape)
        return np.asarray(run(pixels))

    fingerprint, result = proved((raw.shape[0], *(min(SIZE, n) for n in raw.space), raw.shape[-1]))
    values = hashlib.blake2b(digest_size=12)
    for array in take_apart(preprocess).arrays:
        values.update(np.asarray(jnp.asarray(array)).tobytes())
    identity = f"{raw.identity}, preprocessed by {fingerprint} with {values.hexdigest()}"
    return Picture((*raw.shape[:-1], result.shape[-1]), np.dtype(result.dtype), identity, read)
