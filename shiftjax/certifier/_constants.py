"""Values that do not depend on the image: computed where known, otherwise traced for uniform axes only."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from shiftjax.certifier import _jaxpr as adapter
from shiftjax.certifier._domain import attained as _life
from shiftjax.certifier._domain.values import Constant, Generic, Known, Unknown, digest, squash, stable
from shiftjax.certifier._rules import pointwise
from shiftjax.certifier._rules.table import Equation

POINTWISE = frozenset((*pointwise.UNARY.split(), *pointwise.BINARY.split(), *pointwise.OTHER.split()))
EXACT = frozenset(
    {
        *[
            "add",
            "sub",
            "mul",
            "neg",
            "abs",
            "max",
            "min",
            "floor",
            "ceil",
            "round",
            "sign",
            "convert_element_type",
            "iota",
            "select_n",
            "copy",
        ]
    }
)
EXACT |= {"broadcast_in_dim", "reshape", "transpose", "squeeze", "slice", "rev", "concatenate", "pad", "gather"}
CLOSE = 1e-5  # of a float32
MOVES = frozenset({"transpose", "reshape", "squeeze", "rev", "copy"})

# Operations whose results NumPy gives bit for bit as XLA does; they spare a compilation each.
NUMPY: dict[str, Callable[..., np.ndarray]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "neg": np.negative,
    "floor": np.floor,
    "ge": np.greater_equal,
    "gt": np.greater,
    "le": np.less_equal,
    "lt": np.less,
    "eq": np.equal,
    "ne": np.not_equal,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "not": np.invert,
}
COUNTING: dict[str, Callable[..., np.ndarray]] = {  # of integers alone
    "min": np.minimum,
    "max": np.maximum,
    "select_n": lambda which, *cases: np.choose(which.astype(int), cases),
    "convert_element_type": lambda value: value,
}


def fold(eqn: Equation, operands: Sequence[Constant]) -> list[Constant]:
    """The results of an operation on constants."""
    call = eqn.call
    known = [v for v in operands if isinstance(v, Known)]
    if len(known) == len(operands) and _computable(eqn) and not _decided_by_rounding(eqn, known):
        outs = _once(lambda: _compute(eqn, [v.value for v in operands if isinstance(v, Known)]))
        return [
            Known(shape, functools.partial(lambda k: outs()[k], k), _origin(operands), rounded=_rounded(eqn, known))
            for k, shape in enumerate(call.out_shapes)
        ]
    generic, leaves = _life.constant(eqn.name, eqn.params, operands)
    if eqn.name in MOVES or (eqn.name == "broadcast_in_dim" and isinstance(operands[0], Unknown)):
        generic = operands[0].generic if isinstance(operands[0], Unknown) else Generic.NO
        if eqn.name == "broadcast_in_dim" and np.prod(eqn.shape) > np.prod(operands[0].shape):
            generic = min(generic, Generic.EACH)
    return [
        Unknown(shape, _name(eqn, operands, k), _even(eqn, operands, k), generic, leaves)
        for k, shape in enumerate(call.out_shapes)
    ]


def _rounded(eqn: Equation, operands: Sequence[Known]) -> bool:
    """Whether a compiled program may give a float that differs in its last bits; a quotient may become a product."""
    if not any("float" in dtype for dtype in eqn.call.out_dtypes):
        return False
    if eqn.name == "div" and not operands[1].rounded:
        return operands[0].rounded or bool((np.frexp(operands[1].squashed.astype(np.float64))[0] != 0.5).any())
    return eqn.name not in EXACT or any(v.rounded for v in operands)


def _decided_by_rounding(eqn: Equation, operands: Sequence[Known]) -> bool:
    """Whether a float is cut to an integer so close to the next one that its last bits decide."""
    if eqn.name not in {"floor", "ceil", "round", "convert_element_type"} or not operands[0].rounded:
        return False
    if eqn.name == "convert_element_type" and "int" not in eqn.dtype:
        return False
    value = operands[0].squashed.astype(np.float64) + (eqn.name == "round") / 2
    return bool((np.abs(value - np.round(value)) <= CLOSE * np.maximum(1, np.abs(value))).any())


def _computable(eqn: Equation) -> bool:
    """Not what depends on the machine, and not random keys, which NumPy cannot hold."""
    return eqn.name != "platform_index" and not any("key<" in dtype for dtype in eqn.call.out_dtypes)


def _origin(operands: Sequence[Constant]) -> str:
    return next((v.origin for v in operands if isinstance(v, Known) and v.origin), "")


def _once(compute: Callable[[], Any]) -> Callable[[], Any]:
    return functools.lru_cache(maxsize=1)(compute)


def _compute(eqn: Equation, operands: list[np.ndarray]) -> list[np.ndarray]:
    counts = "int" in eqn.dtype and all("int" in str(v.dtype) for v in operands[-1:])
    quick = NUMPY.get(eqn.name) or (COUNTING.get(eqn.name) if counts else None)
    try:
        with np.errstate(all="ignore"):
            if quick:
                return [np.broadcast_to(quick(*map(squash, operands)), eqn.shape).astype(eqn.dtype, copy=False)]
            if eqn.name == "broadcast_in_dim":
                shape = [1] * len(eqn.shape)
                for n, k in zip(operands[0].shape, eqn.params["broadcast_dimensions"], strict=True):
                    shape[k] = n
                return [np.broadcast_to(operands[0].reshape(shape), eqn.shape)]
        return adapter.evaluate(eqn.call.primitive, eqn.params, operands)
    except Exception as error:
        eqn.refuse(f"this constant cannot be computed: {error}", "Compute it outside the function and close over it.")


def _name(eqn: Equation, operands: Sequence[Constant], out: int) -> str:
    """Sizes along axes that a broadcast made are left out, so that a bias is the same at every image size."""
    even = _even(eqn, operands, out)
    sizes = tuple(None if k in even else n for k, n in enumerate(eqn.call.out_shapes[out]))
    params: Any = eqn.params
    names: tuple[str, ...] = tuple(v.name if isinstance(v, Unknown) else v.identity() for v in operands)
    if eqn.name == "broadcast_in_dim":
        params = eqn.params["broadcast_dimensions"]
    elif eqn.name in POINTWISE:
        params = {k: v for k, v in params.items() if k not in ("sharding", "weak_type")}
        names = tuple(
            v.name if isinstance(v, Unknown) else v.identity({k: 1 for k in even if v.shape and v.uniform(k)})
            for v in operands
        )
    else:
        names = (*names, *(str(v.shape) for v in operands))
    return digest("constant", eqn.name, stable(params), names, sizes, out)


def _even(eqn: Equation, operands: Sequence[Constant], out: int) -> frozenset[int]:
    """Axes along which the result is surely uniform."""
    if not operands:
        return frozenset()
    name, first = eqn.name, operands[0]
    rank = len(eqn.call.out_shapes[out])
    if name == "broadcast_in_dim":
        kept = dict(zip(eqn.params["broadcast_dimensions"], range(len(first.shape)), strict=True))
        return frozenset(k for k in range(rank) if k not in kept or first.uniform(kept[k]))
    if name in POINTWISE:
        return frozenset(k for k in range(rank) if all(not v.shape or v.uniform(k) for v in operands))
    if name == "transpose":
        return frozenset(k for k, old in enumerate(eqn.params["permutation"]) if first.uniform(old))
    if name in ("slice", "rev"):
        return frozenset(k for k in range(rank) if first.uniform(k))
    if name in ("squeeze", "reshape"):
        return _even_reshaped(first, eqn.call.out_shapes[out])
    return frozenset()


def _even_reshaped(value: Constant, shape: tuple[int, ...]) -> frozenset[int]:
    """Axes of size 1 come and go; any other reshape keeps nothing."""
    old = [k for k, n in enumerate(value.shape) if n != 1]
    new = [k for k, n in enumerate(shape) if n != 1]
    if [value.shape[k] for k in old] != [shape[k] for k in new]:
        return frozenset()
    return frozenset(k for j, k in zip(old, new, strict=True) if value.uniform(j))
