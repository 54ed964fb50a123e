"""What comes before the network, pixel by pixel, as the tiles are read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shiftjax._checks import fail, function, told
from shiftjax._parameters import take_apart
from shiftjax.certifier import CertificationError, certify
from shiftjax.freezing._picture import Picture, Slices, in_type

EXPECTED = "a JAX function that acts on each pixel alone"
SIZES = 8, 9  # pixels per axis at which it is proved to be one map, and type and channels of the result are found


def preprocessed(raw: Picture, preprocess: Callable[[Any], Any]) -> Picture:
    """An image that is preprocessed as it is read.

    Raises:
        ValueError: what does not act on each pixel alone, or not at every size alike; when that is read too.
    """
    function("preprocess", preprocess)
    dtype = jax.dtypes.canonicalize_dtype(raw.dtype)
    reading = _Preprocessing(raw.read, preprocess, dtype)
    for size in SIZES:
        fingerprint, result = reading.proved((raw.shape[0], *(min(size, n) for n in raw.space), raw.shape[-1]))
    values = hashlib.blake2b(digest_size=12)
    for array in take_apart(preprocess).arrays:
        values.update(np.asarray(jnp.asarray(array)).tobytes())
    identity = f"{raw.identity}, preprocessed by {fingerprint} with {values.hexdigest()}"
    return Picture((*raw.shape[:-1], result.shape[-1]), np.dtype(result.dtype), identity, reading)


class _Preprocessing:
    """Reads slices of an image and preprocesses them, in any process that it is sent to."""

    def __init__(
        self, read: Callable[[Slices], np.ndarray], preprocess: Callable[[Any], Any], dtype: Any, fingerprint: str = ""
    ) -> None:
        self._read, self._preprocess, self._dtype = read, preprocess, dtype
        self._fingerprint = fingerprint  # once it is known, here or in the process that this comes from
        self._run = jax.jit(preprocess)
        self._known: dict[tuple[int, ...], Any] = {}

    def __reduce__(self) -> Any:
        return _Preprocessing, (self._read, self._preprocess, self._dtype, self._fingerprint)

    def __call__(self, slices: Slices) -> np.ndarray:
        pixels = in_type(self._read(slices), self._dtype)
        self.proved(pixels.shape)
        return np.asarray(self._run(pixels))

    def proved(self, shape: tuple[int, ...]) -> tuple[str, Any]:
        """Fingerprint, and shape and type of the result, for images of a shape.

        Raises:
            ValueError: no proof that it acts on each pixel alone, and as it does in images of other shapes.
        """
        if shape not in self._known:
            proof = self._proof(jax.ShapeDtypeStruct(shape, self._dtype))
            self._fingerprint = self._fingerprint or proof[0]
            if proof[0] != self._fingerprint:
                other = f"one that does something else in images of shape {shape} than it did before"
                fail("preprocess", EXPECTED, other, "take what it depends on from the whole image, before this call")
            self._known[shape] = proof
        found: tuple[str, Any] = self._known[shape]
        return found

    def _proof(self, image: jax.ShapeDtypeStruct) -> tuple[str, Any]:
        try:
            certificate = certify(self._preprocess, image)
            returned = jax.tree.leaves(jax.eval_shape(self._preprocess, image))
        except (CertificationError, TypeError, ValueError) as refusal:
            fail("preprocess", EXPECTED, f"no proof of that ({told(refusal)})")
        alone = all(axis.pointwise and axis.output_axis == axis.input_axis for axis in certificate.axes)
        if len(returned) != 1 or returned[0].shape[:-1] != image.shape[:-1] or not alone:
            fail("preprocess", EXPECTED, f"one with receptive fields {[axis.field for axis in certificate.axes]}")
        return certificate.fingerprint, returned[0]
