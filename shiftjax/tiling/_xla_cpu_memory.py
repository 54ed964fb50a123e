"""Memory that XLA's CPU backend takes for 2-D convolutions and leaves out of its account."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

MOST = 288  # products per output pixel that are copied out at a time, as measured
FREE = 144, 16  # up to so many products per pixel for so few features nothing is


def windows_copied(jaxpr: Any) -> int:
    """Bytes of the largest copy of all windows of an image that a convolution of the program makes.

    Measured with resident memory, on images of a quarter to one million pixels with 16 to 64 channels: never more than
    this, and at least a third of it.
    """
    return max(map(_copied, _convolutions(jaxpr)), default=0)


def _convolutions(jaxpr: Any) -> Iterator[Any]:
    """The 2-D convolutions without padding of a jaxpr and of all that it calls."""
    for eqn in getattr(jaxpr, "jaxpr", jaxpr).eqns:
        plane = eqn.primitive.name == "conv_general_dilated" and len(eqn.outvars[0].aval.shape) == 4
        if plane and not any(map(any, eqn.params["padding"])):
            yield eqn
        for value in eqn.params.values():
            for inner in value if isinstance(value, tuple | list) else (value,):
                if hasattr(inner, "eqns") or hasattr(inner, "jaxpr"):
                    yield from _convolutions(inner)


def _copied(eqn: Any) -> int:
    spec = eqn.params["dimension_numbers"]
    kernel, out = eqn.invars[1].aval, eqn.outvars[0].aval
    features = kernel.shape[spec.rhs_spec[0]]
    products = prod(kernel.shape) // features
    if products <= FREE[0] and features <= FREE[1]:
        return 0
    return prod(out.shape) // features * min(products, MOST) * out.dtype.itemsize
