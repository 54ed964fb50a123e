"""How many floating-point operations a program has: of its convolutions and products, from the trace alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax


def flops(fn: Callable[..., Any], *arguments: Any) -> float:
    """Two for each product that is summed, as they are counted; everything else is left out."""
    return float(sum(map(_of, _equations(jax.make_jaxpr(fn)(*arguments)))))


def _of(eqn: Any) -> int:
    if eqn.primitive.name == "conv_general_dilated":
        kernel = eqn.invars[1].aval.shape
        features = kernel[eqn.params["dimension_numbers"].rhs_spec[0]]
        return 2 * eqn.outvars[0].aval.size * math.prod(kernel) // features
    if eqn.primitive.name == "dot_general":
        (contracted, _), _ = eqn.params["dimension_numbers"]
        return 2 * eqn.outvars[0].aval.size * math.prod(eqn.invars[0].aval.shape[k] for k in contracted)
    return 0


def _equations(jaxpr: Any) -> Iterator[Any]:
    """Those of a program and of all that it calls; of forms for several platforms, the last, which is the plain one."""
    for eqn in getattr(jaxpr, "jaxpr", jaxpr).eqns:
        yield eqn
        if eqn.params.get("branches_platforms") is not None:
            yield from _equations(eqn.params["branches"][-1])
            continue
        for value in eqn.params.values():
            for inner in value if isinstance(value, tuple | list) else (value,):
                if hasattr(inner, "eqns") or hasattr(inner, "jaxpr"):
                    yield from _equations(inner)
