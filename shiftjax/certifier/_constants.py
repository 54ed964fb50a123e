"""Values that do not depend on the image: computed where known, else only followed for where they are uniform."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from shiftjax.certifier import _jaxpr
from shiftjax.certifier._domain.values import Constant, Known, Unknown, compact, digest
from shiftjax.certifier._rules.pointwise import BINARY, OTHER, UNARY
from shiftjax.certifier._rules.table import Equation

POINTWISE = frozenset(f"{UNARY} {BINARY} {OTHER}".split())
# Operations on floats after which a compiled program has the same bits as one that runs them one by one.
ARITHMETIC = "add sub mul neg abs max min floor ceil round sign convert_element_type"
LAYOUT = "iota select_n copy broadcast_in_dim reshape transpose squeeze slice rev concatenate pad gather"
EXACT = frozenset(f"{ARITHMETIC} {LAYOUT}".split())
CUTS = frozenset({"floor", "ceil", "round"})  # to whole numbers, the same ones unless the cut is decided by rounding
CLOSE = 1e-5  # of a float32, relative: some 80 roundings

# Operations whose results NumPy gives bit for bit as XLA does; each spares a compilation.
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
NUMPY_INTEGERS: dict[str, Callable[..., np.ndarray]] = {  # likewise, of integers alone
    "min": np.minimum,
    "max": np.maximum,
    "select_n": lambda which, *cases: np.choose(which.astype(int), cases),
    "convert_element_type": lambda value: value,
}


def fold(eqn: Equation, operands: Sequence[Constant]) -> list[Constant]:
    """The results of an operation on constants."""
    shapes = eqn.call.out_shapes
    known = [v for v in operands if isinstance(v, Known)]
    if len(known) == len(operands) and _computable(eqn) and not _decided_by_rounding(eqn, known):
        compute = functools.lru_cache(maxsize=1)(lambda: _compute(eqn, [v.value for v in known]))
        origin = next((v.origin for v in known if v.origin), "")
        rounded = _rounded(eqn, known)
        return [
            Known(shape, functools.partial(lambda k: compute()[k], k), origin, rounded=rounded)
            for k, shape in enumerate(shapes)
        ]
    return [Unknown(shape, _name(eqn, operands, k), _uniform_axes(eqn, operands, k)) for k, shape in enumerate(shapes)]


def _rounded(eqn: Equation, operands: Sequence[Known]) -> bool:
    """Whether a compiled program may give a float that differs in its last bits; a quotient may become a product."""
    if not any("float" in dtype for dtype in eqn.call.out_dtypes) or eqn.name in CUTS:
        return False
    if eqn.name == "div" and not operands[1].rounded:
        return operands[0].rounded or bool((np.frexp(operands[1].compact.astype(np.float64))[0] != 0.5).any())
    return eqn.name not in EXACT or any(v.rounded for v in operands)


def _decided_by_rounding(eqn: Equation, operands: Sequence[Known]) -> bool:
    """Whether a float is cut to an integer so close to the next one that its last bits decide."""
    if eqn.name not in {*CUTS, "convert_element_type"} or not operands[0].rounded:
        return False
    if eqn.name == "convert_element_type" and "int" not in eqn.dtype:
        return False
    value = operands[0].compact.astype(np.float64) + (eqn.name == "round") / 2
    return bool((np.abs(value - np.round(value)) <= CLOSE * np.maximum(1, np.abs(value))).any())


def _computable(eqn: Equation) -> bool:
    """Not what depends on the machine, and not random keys, which NumPy cannot hold."""
    return eqn.name != "platform_index" and not any("key<" in dtype for dtype in eqn.call.out_dtypes)


def _compute(eqn: Equation, operands: list[np.ndarray]) -> list[np.ndarray]:
    integers = "int" in eqn.dtype and all("int" in str(v.dtype) for v in operands[-1:])
    quick = NUMPY.get(eqn.name) or (NUMPY_INTEGERS.get(eqn.name) if integers else None)
    try:
        with np.errstate(all="ignore"):
            if quick:
                return [np.broadcast_to(quick(*map(compact, operands)), eqn.shape).astype(eqn.dtype, copy=False)]
            if eqn.name == "broadcast_in_dim":
                shape = [1] * len(eqn.shape)
                for n, k in zip(operands[0].shape, eqn.params["broadcast_dimensions"], strict=True):
                    shape[k] = n
                return [np.broadcast_to(operands[0].reshape(shape), eqn.shape)]
        return _jaxpr.evaluate(eqn.call.primitive, eqn.params, operands)
    except Exception as error:
        eqn.refuse(f"this constant cannot be computed: {error}", "Compute it outside the function and close over it.")


def _name(eqn: Equation, operands: Sequence[Constant], out: int) -> str:
    """Sizes along axes that a broadcast made are left out, so that a bias is the same at every image size."""
    uniform = _uniform_axes(eqn, operands, out)
    sizes = tuple(None if k in uniform else n for k, n in enumerate(eqn.call.out_shapes[out]))
    params: Any = {k: _jaxpr.nameable(v) for k, v in eqn.params.items()}
    keys: tuple[str, ...] = tuple(v.name if isinstance(v, Unknown) else v.key() for v in operands)
    if eqn.name == "broadcast_in_dim":
        params = eqn.params["broadcast_dimensions"]
    elif eqn.name in POINTWISE:
        params = {k: v for k, v in params.items() if k not in ("sharding", "weak_type")}
        keys = tuple(
            v.name if isinstance(v, Unknown) else v.key({k: 1 for k in uniform if v.shape and v.uniform(k)})
            for v in operands
        )
    else:
        keys = (*keys, *(str(v.shape) for v in operands))
    return digest("constant", eqn.name, params, keys, sizes, out)


def _uniform_axes(eqn: Equation, operands: Sequence[Constant], out: int) -> frozenset[int]:
    """Axes along which the result is surely uniform."""
    if not operands:
        return frozenset()
    name, first = eqn.name, operands[0]
    rank = len(eqn.call.out_shapes[out])
    if name == "broadcast_in_dim":
        own = dict(zip(eqn.params["broadcast_dimensions"], range(len(first.shape)), strict=True))
        return frozenset(k for k in range(rank) if k not in own or first.uniform(own[k]))
    if name in POINTWISE:
        return frozenset(k for k in range(rank) if all(not v.shape or v.uniform(k) for v in operands))
    if name == "transpose":
        return frozenset(k for k, old in enumerate(eqn.params["permutation"]) if first.uniform(old))
    if name in ("slice", "rev"):
        return frozenset(k for k in range(rank) if first.uniform(k))
    if name in ("squeeze", "reshape"):
        return _uniform_after_reshape(first, eqn.call.out_shapes[out])
    return frozenset()


def _uniform_after_reshape(value: Constant, shape: tuple[int, ...]) -> frozenset[int]:
    """Axes of size 1 come and go; after any other reshape nothing is known."""
    old = [k for k, n in enumerate(value.shape) if n != 1]
    new = [k for k, n in enumerate(shape) if n != 1]
    if [value.shape[k] for k in old] != [shape[k] for k in new]:
        return frozenset()
    return frozenset(k for j, k in zip(old, new, strict=True) if value.uniform(j))
