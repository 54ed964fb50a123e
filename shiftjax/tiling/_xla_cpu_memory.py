"""Memory that XLA's CPU backend takes for 2-D convolutions and leaves out of its estimate."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

from shiftjax._xla_cpu import MAX_PRODUCTS_COPIED, copies_windows


def copied_windows(jaxpr: Any) -> int:
    """Bytes of the largest copy of an image's windows that a convolution of the program makes.

    The largest and not the sum: a copy is given back before the next convolution runs.
    """
    return max(map(_bytes_copied, _convolutions(jaxpr)), default=0)


def _convolutions(jaxpr: Any) -> Iterator[Any]:
    """The 2-D convolutions without padding of a jaxpr and of every jaxpr that its equations hold, as a CPU runs it."""
    for eqn in getattr(jaxpr, "jaxpr", jaxpr).eqns:
        two_dimensional = eqn.primitive.name == "conv_general_dilated" and len(eqn.outvars[0].aval.shape) == 4
        if two_dimensional and not any(map(any, eqn.params["padding"])):
            yield eqn
        for value in programs(eqn.params):
            for inner in value if isinstance(value, tuple | list) else (value,):
                if hasattr(inner, "eqns") or hasattr(inner, "jaxpr"):
                    yield from _convolutions(inner)


def programs(params: dict[str, Any]) -> list[Any]:
    """The parameters of an equation, of programs for several platforms that of a CPU alone."""
    if params.get("branches_platforms") is None:
        return list(params.values())
    pairs = zip(params["branches"], params["branches_platforms"], strict=True)
    return [branch for branch, platforms in pairs if platforms is None or "cpu" in platforms][:1]


def _bytes_copied(eqn: Any) -> int:
    kernel, output = eqn.invars[1].aval, eqn.outvars[0].aval
    features = kernel.shape[eqn.params["dimension_numbers"].rhs_spec[0]]
    products = prod(kernel.shape) // features
    if not copies_windows(products, features):
        return 0
    pixels = prod(output.shape) // features
    return pixels * min(products, MAX_PRODUCTS_COPIED) * output.dtype.itemsize
