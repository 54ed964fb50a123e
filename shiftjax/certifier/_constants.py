"""Values that do not depend on the image: computed where known; else only where they are uniform is kept track of."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from math import lcm, prod
from typing import Any

import numpy as np

from shiftjax.certifier import _jaxpr
from shiftjax.certifier._bands import Band, band, is_large
from shiftjax.certifier._domain.constants import Known, Unknown, compact
from shiftjax.certifier._domain.naming import digest
from shiftjax.certifier._domain.rounding import FLOATS, STEPS, Rounding, is_float, rounding, selected_from, undecided
from shiftjax.certifier._domain.values import Constant
from shiftjax.certifier._rules.chance import CHANCE, DEPENDENT, runs_any
from shiftjax.certifier._rules.pointwise import PASSED_ON, POINTWISE
from shiftjax.certifier._rules.table import Equation, plain_parameters

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
NUMPY_FLOATS: dict[str, Callable[..., np.ndarray]] = {  # likewise, where the result is rounded
    "abs": np.abs,
    "div": np.divide,
    "max": np.maximum,
    "min": np.minimum,
    "select_n": lambda which, off, on: np.asarray(np.where(which, on, off)),
    "convert_element_type": lambda value: value,
}


def fold(eqn: Equation, operands: Sequence[Constant]) -> list[Constant]:
    """The results of an operation on constants.

    They are known if they can be computed, unless rounding may decide what a discontinuous operation gives.
    """

    def derive(k: int) -> Unknown:
        sources = [
            v.derivation if isinstance(v, Known) and v.is_large else v for v in operands
        ]  # large values are not computed for this
        uniform, periods = _uniform_axes(eqn, sources, k), _periods(eqn, sources, k)
        made = (eqn, operands, k) if len(known) < len(operands) else None  # else rounding decides, or chance
        return Unknown(eqn.call.out_shapes[k], _name(eqn, sources, k), uniform, tuple(sorted(periods.items())), made)

    if eqn.name in PASSED_ON:
        return list(operands)
    known = [v for v in operands if isinstance(v, Known)]
    if len(known) < len(operands) or not _computable(eqn, known):
        return [derive(k) for k in range(len(eqn.call.out_shapes))]
    compute = functools.cache(lambda: _evaluate(eqn, known))
    origin = next((v.origin for v in known if v.origin), "")
    quotient = is_float(eqn.dtype) and eqn.name not in STEPS and (eqn.name == "div" or any(v.quotient for v in known))
    follows = eqn.name in POINTWISE or eqn.name == "broadcast_in_dim"
    return [
        Known(
            shape,
            functools.partial(lambda k: compute()[k], k),
            functools.partial(derive, k),
            origin,
            quotient=quotient,
            made=(eqn, known, k),
            is_large=follows and is_large(eqn.shape),
            band=lambda matrix: band(matrix, _on_blocks),
        )
        for k, shape in enumerate(eqn.call.out_shapes)
    ]


def _on_blocks(known: Known, values: list[np.ndarray], before: list[Rounding]) -> tuple[np.ndarray, Rounding]:
    """One pointwise operation on a part of its operands."""
    assert known.made is not None
    eqn = known.made[0]
    if eqn.name == "broadcast_in_dim":
        return values[0], before[0]
    shape = np.broadcast_shapes(*(v.shape for v in values))
    wide = [np.broadcast_to(v, shape) for v in values]
    quick = _in_numpy(eqn)
    with np.errstate(all="ignore"):
        (result,) = [quick(*wide)] if quick else _jaxpr.evaluate(eqn.call.primitive, eqn.params, wide)
        result = result.astype(eqn.dtype, copy=False)
    return result, rounding(eqn.name, eqn.params, wide, before, [result], _selection(eqn, wide))[0]


def _computable(eqn: Equation, operands: Sequence[Known]) -> bool:
    """Whether the value is the same on every machine, at every run, and however XLA computes it, but for rounding."""
    if runs_any(eqn.call, DEPENDENT) or any("key<" in dtype for dtype in eqn.call.out_dtypes):  # NumPy cannot hold keys
        return False
    if not any(map(is_float, (*eqn.call.in_dtypes, *_jaxpr.inner_dtypes(eqn.params)))):
        return True
    if eqn.name in STEPS and not (eqn.name == "convert_element_type" and is_float(eqn.dtype)):
        values = [v.compact for v in operands]
        return not undecided(eqn.name, values, [v.rounding for v in operands], quotient=operands[0].quotient)
    if all(map(is_float, eqn.call.out_dtypes)):
        return True
    # Whole numbers that other operations make of floats: the index of a maximum, the counter of a loop.
    return all(v.exact for v in operands) and not any(map(is_float, _jaxpr.inner_dtypes(eqn.params)))


def _evaluate(eqn: Equation, operands: Sequence[Known]) -> list[tuple[np.ndarray, Rounding]]:
    """The values of the results, and their rounding."""
    if eqn.name == "reduce_sum" and eqn.params["axes"] == (0,) and (found := operands[0].band):
        return [_band_sum(found)]
    values, before = [v.value for v in operands], [v.rounding for v in operands]
    results = _compute(eqn, values)
    select = _selection(eqn, values)
    if eqn.name in POINTWISE or eqn.name == "broadcast_in_dim":
        roundings = rounding(
            eqn.name, eqn.params, list(map(compact, values)), before, list(map(compact, results)), select
        )
    else:
        roundings = rounding(eqn.name, eqn.params, values, before, results, select)
    return list(zip(results, roundings, strict=True))


def _band_sum(found: Band) -> tuple[np.ndarray, Rounding]:
    """The sum of each column of a band, and its rounding: what lies outside is zero and adds nothing."""
    values, before = found.blocks
    sums = values.sum(axis=1)
    (total,) = rounding("reduce_sum", {"axes": (1,)}, [values], [before], [sums], lambda errors: errors)
    count = len(found.start)
    return sums.reshape(-1)[:count], total._replace(error=np.broadcast_to(total.error, sums.shape).reshape(-1)[:count])


def _selection(eqn: Equation, values: Sequence[np.ndarray]) -> Callable[[Sequence[np.ndarray]], Sequence[np.ndarray]]:
    """What an operation that selects values does to their errors; operands that are indices stay what they are."""
    chosen = selected_from(eqn.name, len(values))

    def select(errors: Sequence[np.ndarray]) -> list[np.ndarray]:
        if eqn.name == "select_n" and eqn.call.in_dtypes[0] == "bool":
            return [np.where(values[0], errors[2], errors[1])]
        selected = [
            np.broadcast_to(error, v.shape).astype(np.float32) if k in chosen else v
            for k, (error, v) in enumerate(zip(errors, values, strict=True))
        ]
        return _jaxpr.evaluate(eqn.call.primitive, eqn.params, selected)

    return select


def _in_numpy(eqn: Equation) -> Callable[..., np.ndarray] | None:
    """The operation in NumPy, where it is quicker there and the same."""
    if eqn.name in NUMPY:
        return NUMPY[eqn.name]
    if eqn.name == "iota":
        along, shape = eqn.params["dimension"], [1] * len(eqn.shape)
        shape[along] = eqn.shape[along]
        return lambda: np.arange(shape[along]).reshape(shape)
    if eqn.name == "reduce_sum":  # where the order of the terms counts, the error is bounded for any order
        return functools.partial(np.sum, axis=tuple(eqn.params["axes"]), dtype=eqn.dtype)
    if "int" in eqn.dtype:
        return NUMPY_INTEGERS.get(eqn.name) if all("int" in dtype for dtype in eqn.call.in_dtypes[-1:]) else None
    two_cases = eqn.name != "select_n" or eqn.call.in_dtypes[0] == "bool"
    return NUMPY_FLOATS.get(eqn.name) if eqn.dtype in FLOATS and two_cases else None


def _compute(eqn: Equation, operands: list[np.ndarray]) -> list[np.ndarray]:
    quick = _in_numpy(eqn)
    try:
        with np.errstate(all="ignore"):
            if quick:
                values = operands if eqn.name == "reduce_sum" else map(compact, operands)
                return [np.broadcast_to(quick(*values), eqn.shape).astype(eqn.dtype, copy=False)]
            if eqn.name == "broadcast_in_dim":
                shape = [1] * len(eqn.shape)
                for n, k in zip(operands[0].shape, eqn.params["broadcast_dimensions"], strict=True):
                    shape[k] = n
                return [np.broadcast_to(operands[0].reshape(shape), eqn.shape)]
        return _jaxpr.evaluate(eqn.call.primitive, eqn.params, operands)
    except Exception as error:
        eqn.refuse(f"this constant cannot be computed: {error}", "Compute it outside the function and close over it.")


def _name(eqn: Equation, operands: Sequence[Constant], out: int) -> str:
    """The name of a result, without sizes along broadcast or repeated axes: a bias has one name at every size."""
    uniform, periods = _uniform_axes(eqn, operands, out), _periods(eqn, operands, out)
    sizes = tuple(
        None if k in uniform else f"period {periods[k]}" if k in periods else n
        for k, n in enumerate(eqn.call.out_shapes[out])
    )
    params: Any = plain_parameters(eqn.params)
    keys: tuple[str, ...] = tuple(v.name if isinstance(v, Unknown) else v.key() for v in operands)
    if eqn.name == "broadcast_in_dim":
        params = eqn.params["broadcast_dimensions"]
    elif eqn.name in POINTWISE:
        params = {k: v for k, v in params.items() if k not in ("sharding", "weak_type")}
        keys = tuple(
            v.name if isinstance(v, Unknown) else v.key({k: 1 for k in uniform if v.shape and v.uniform(k)})
            for v in operands
        )
    elif (periods and eqn.name in ("tile", "reshape")) or _only_ones(eqn, operands, out):
        params = None  # the sizes say it all, once those of repeated and of uniform axes are left out
    else:
        keys = (*keys, *(str(v.shape) for v in operands))
    chance = object() if runs_any(eqn.call, CHANCE) else None  # a name like no other
    return digest("constant", eqn.name, params, keys, sizes, out, chance)


def _periods(eqn: Equation, operands: Sequence[Constant], out: int) -> dict[int, int]:
    """Axes, other than uniform ones, along which the result is surely periodic."""
    if not operands:
        return {}
    first, shape = operands[0], eqn.call.out_shapes[out]
    found: dict[int, int | None] = {}
    if eqn.name == "tile":
        found = {k: n for k, n in enumerate(first.shape) if shape[k] > n}
    elif eqn.name == "reshape" and eqn.params["dimensions"] is None:
        found = _periods_after_reshape(first, shape)
    elif eqn.name == "broadcast_in_dim":
        own = enumerate(eqn.params["broadcast_dimensions"])
        found = {k: first.period(j) for j, k in own if first.shape[j] == shape[k]}
    elif eqn.name in POINTWISE:
        for k in range(len(shape)):
            each = [v.period(k) for v in operands if v.shape]
            found[k] = None if None in each else lcm(*(n for n in each if n))
    return {k: n for k, n in found.items() if n and 1 < n < shape[k]}


def _periods_after_reshape(value: Constant, shape: tuple[int, ...]) -> dict[int, int | None]:
    """The periods after a reshape: a uniform axis that is merged with the one behind it repeats that one."""
    for k in range(len(shape)):
        merged = (*value.shape[:k], prod(value.shape[k : k + 2]), *value.shape[k + 2 :])
        if len(value.shape) == len(shape) + 1 and merged == shape and value.uniform(k):
            return {k: value.shape[k + 1]}
    return {}


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
    if name == "squeeze" or (name == "reshape" and eqn.params["dimensions"] is None):  # else they are transposed first
        return _uniform_after_reshape(first, eqn.call.out_shapes[out])
    return frozenset()


def _only_ones(eqn: Equation, operands: Sequence[Constant], out: int) -> bool:
    """Whether an operation only adds or drops axes of size 1."""
    if eqn.name != "squeeze" and not (eqn.name == "reshape" and eqn.params["dimensions"] is None):
        return False
    return [n for n in operands[0].shape if n != 1] == [n for n in eqn.call.out_shapes[out] if n != 1]


def _uniform_after_reshape(value: Constant, shape: tuple[int, ...]) -> frozenset[int]:
    """Axes of size 1 come and go; after any other reshape nothing is known."""
    old = [k for k, n in enumerate(value.shape) if n != 1]
    new = [k for k, n in enumerate(shape) if n != 1]
    if [value.shape[k] for k in old] != [shape[k] for k in new]:
        return frozenset()
    return frozenset(k for j, k in zip(old, new, strict=True) if value.uniform(j))
