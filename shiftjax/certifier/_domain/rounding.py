"""How far a computed constant may be from its exact value, element by element.

A constant is computed here operation by operation. XLA computes it in one program with the rest of the network: it
turns quotients into products with rounded reciprocals, keeps half floats in float32 between operations, and flushes
subnormal numbers to zero. An error of zero says that every one of these ways gives the same bits, because no operation
on the way rounds at all. Any other error is a bound that all ways of computing it keep to, within `SAFETY`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

FLOATS = {  # largest relative error of one rounding, and smallest normal number; other types are not followed
    "float16": (2.0**-11, 2.0**-14),
    "bfloat16": (2.0**-8, 2.0**-126),
    "float32": (2.0**-24, 2.0**-126),
    "float64": (2.0**-53, 2.0**-1022),
}
SAFETY = 4  # an expression may be rewritten into one with a few roundings more
Arrays = Sequence[np.ndarray]

REORDERING = "broadcast_in_dim concatenate pad reshape rev slice split squeeze stack tile transpose unstack"
CHOOSING = "copy dynamic_slice gather name select_n stop_gradient"
SELECTING = frozenset(f"{REORDERING} {CHOOSING}".split())
COMPARING = "eq ne lt le gt ge eq_to le_to lt_to"
CUTTING = "floor ceil round convert_element_type sign"
STEPS = frozenset(f"{COMPARING} {CUTTING}".split())  # where rounding moves a value over a step, they give another


def is_float(dtype: Any) -> bool:
    """Whether values of a type, or of the type of this name, are rounded; complex numbers are."""
    return not str(dtype).startswith(("int", "uint", "bool", "key<"))


def errors(
    name: str, params: dict[str, Any], values: Arrays, before: Arrays, results: Arrays, move: Callable[[Arrays], Arrays]
) -> list[np.ndarray]:
    """Bounds on the errors of an operation's results.

    Args:
        name: of the operation.
        params: its parameters.
        values: of its operands.
        before: bounds on their errors, each of the shape of the value or broadcast to it.
        results: the values computed.
        move: does to bounds what the operation does to values; for operations that only select.

    Returns:
        One array for each result; infinite where nothing is known.
    """
    exact = all(not error.any() for error in before)
    if exact and not any(is_float(v.dtype) for v in (*values, *results)):
        return [np.zeros(())] * len(results)
    if any(_is_subnormal(v).any() for v in (*values, *results)):
        return [np.full((), np.inf)] * len(results)
    if name in SELECTING or (exact and name in STEPS and name != "convert_element_type"):
        return [np.zeros(())] * len(results) if exact else list(move(before))
    with np.errstate(all="ignore"):
        bound = _bound(name, params, values, before, results[0])
    bound = np.where(np.isnan(bound), np.inf, bound)
    return [bound] if len(results) == 1 else [np.full((), np.inf)] * len(results)


def undecided(name: str, values: Arrays, before: Arrays) -> bool:
    """Whether rounding may decide what a discontinuous operation gives: a value lies within its error of a step."""
    if all(not error.any() for error in before):
        return False
    a = values[0].astype(np.float64)
    reach = SAFETY * before[0]
    with np.errstate(all="ignore"):
        if len(values) == 2:
            distance, reach = np.abs(a - values[1].astype(np.float64)), SAFETY * (before[0] + before[1])
        elif name == "sign":
            distance = np.abs(a)
        else:
            half = a + 0.5 if name == "round" else a
            distance = np.abs(half - np.round(half))
        return not bool((distance > reach).all())


def _bound(name: str, params: dict[str, Any], values: Arrays, before: Arrays, result: np.ndarray) -> np.ndarray:
    """The error of the one result of an operation that rounds."""
    unknown = np.full((), np.inf)
    if any(np.iscomplexobj(v) for v in (*values, result)):
        return unknown
    wide = [v.astype(np.float64) for v in values]
    out = result.astype(np.float64)
    rounding = _epsilon(result.dtype) * np.abs(out)
    if name in ("neg", "abs"):
        return before[0]
    if name in ("max", "min"):  # that of the operand that is surely chosen, where one is
        a, b = wide if name == "max" else (-wide[0], -wide[1])
        apart = SAFETY * (before[0] + before[1])
        return np.where(a - b > apart, before[0], np.where(b - a > apart, before[1], np.maximum(before[0], before[1])))
    if name == "clamp":
        return np.asarray(sum(before))
    if name == "iota":
        return np.where(np.abs(out) * _epsilon(result.dtype) < 0.5, 0.0, np.inf)
    if name == "convert_element_type":
        if not is_float(result.dtype):  # `undecided` has been asked before
            return np.where(np.trunc(wide[0]) == out, 0.0, np.inf)
        return before[0] + np.where(wide[0] == out, 0.0, rounding)
    if name in STEPS:
        return np.zeros(())
    if name in ("add", "sub"):
        a, b = wide[0], wide[1] if name == "add" else -wide[1]
        return before[0] + before[1] + np.where(_exact_sum(a, b, out), 0.0, rounding)
    if name == "mul":
        inherited = before[0] * np.abs(wide[1]) + before[1] * np.abs(wide[0]) + before[0] * before[1]
        small = result.dtype.itemsize < 8  # the product of two float32 is exact in float64
        return inherited + np.where(small & (wide[0] * wide[1] == out), 0.0, rounding)
    if name == "div":
        least = np.abs(wide[1]) - before[1]
        inherited = (before[0] + np.abs(out) * before[1]) / np.where(least > 0, least, np.nan)
        # Also a quotient that is exact may become a product with a rounded reciprocal.
        power = np.abs(np.frexp(wide[1])[0]) == 0.5
        return inherited + np.where(power & (out * wide[1] == wide[0]), 0.0, 3 * rounding)
    if name == "reduce_sum":
        axes = tuple(params["axes"])
        total = np.abs(wide[0]).sum(axes)
        inherited = np.broadcast_to(before[0], wide[0].shape).sum(axes)
        terms = np.prod([values[0].shape[k] for k in axes])
        exact = _sums_exactly(wide[0], axes, total, result.dtype)
        return inherited + np.where(exact, 0.0, terms * _epsilon(result.dtype) * total)
    if name in ("reduce_max", "reduce_min"):
        return np.broadcast_to(before[0], wide[0].shape).max(tuple(params["axes"]))
    if name in ("square", "integer_pow") and not before[0].any():
        whole = (wide[0] == np.round(wide[0])) & (out == np.round(out))
        return np.where(whole & (np.abs(out) < 1 / _epsilon(result.dtype)), 0.0, np.inf)
    return unknown


def _epsilon(dtype: Any) -> float:
    return FLOATS.get(str(dtype), (1.0, np.inf))[0]


def _is_subnormal(value: np.ndarray) -> np.ndarray:
    if not is_float(value.dtype) or np.iscomplexobj(value):
        return np.zeros((), bool)
    size = np.abs(value.astype(np.float64))
    return (size > 0) & (size < FLOATS.get(str(value.dtype), (1.0, np.inf))[1])


def _exact_sum(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Whether a + b is a number of the result's type: Knuth's sum without error, in float64."""
    total = a + b
    rest = total - a
    error = (a - (total - rest)) + (b - rest)
    return (error == 0) & (total == out)


def _sums_exactly(value: np.ndarray, axes: tuple[int, ...], total: np.ndarray, dtype: Any) -> np.ndarray:
    """Whether a sum is exact in any order: its terms are multiples of one power of two, few of them in all."""
    exact = np.zeros(total.shape, bool)
    for power in (0, 4, 8, 12, 16, 20):
        multiples = value * 2.0**power
        whole = (multiples == np.round(multiples)).all(axes)
        exact |= whole & (total * 2.0**power < 1 / _epsilon(dtype))
    return exact
