"""How long programs take compared with each other, counted in multiplications, with copies counted in them, too."""

from __future__ import annotations

from math import prod
from typing import Any

from shiftjax.tiling._xla_cpu_memory import programs

COPY = 16  # multiplications that take as long as copying an element: a CPU waits for memory then
COPYING = ("concatenate", "pad", "gather", "dynamic_update_slice", "scatter", "rev")


def work(jaxpr: Any) -> int:
    """Multiplications and copies of a jaxpr, and of every jaxpr in its equations as often as that is run.

    A loop whose turns are not known counts as one turn.
    """
    total = 0
    for eqn in getattr(jaxpr, "jaxpr", jaxpr).eqns:
        size = prod(eqn.outvars[0].aval.shape) if eqn.outvars and hasattr(eqn.outvars[0].aval, "shape") else 0
        if eqn.primitive.name == "conv_general_dilated":
            kernel = eqn.invars[1].aval.shape
            features = kernel[eqn.params["dimension_numbers"].rhs_spec[0]]
            total += size * prod(kernel) // features
        elif eqn.primitive.name == "dot_general":
            (summed, _), _ = eqn.params["dimension_numbers"]
            total += size * prod(eqn.invars[0].aval.shape[k] for k in summed)
        elif eqn.primitive.name in COPYING:
            total += COPY * size
        turns = eqn.params.get("length", 1) if eqn.primitive.name == "scan" else 1
        for value in programs(eqn.params):
            inner = value if isinstance(value, tuple | list) else [value]
            total += turns * sum(work(one) for one in inner if hasattr(one, "eqns") or hasattr(one, "jaxpr"))
        total += size  # whatever it is, it is written
    return total
