"""What a chain of activations does to one number, sampled: enough to see whether it still varies. No JAX here."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from shiftjax.certifier._domain.values import Form, Image, Known, Value

SAMPLES = np.array(
    [-1e3, -47.1, -6.03, -3.31, -1.72, -0.93, -0.41, -0.11, 0.13, 0.37, 0.81, 1.63, 3.17, 5.51, 43.7, 1e3]
)

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": np.abs,
    "add": np.add,
    "add_any": np.add,
    "and": np.logical_and,
    "cbrt": np.cbrt,
    "ceil": np.ceil,
    "clamp": lambda low, x, high: np.minimum(np.maximum(x, low), high),
    "copy": np.copy,
    "cos": np.cos,
    "div": np.divide,
    "eq": np.equal,
    "erf": np.vectorize(math.erf),
    "erfc": np.vectorize(math.erfc),
    "exp": np.exp,
    "exp2": np.exp2,
    "expm1": np.expm1,
    "floor": np.floor,
    "ge": np.greater_equal,
    "gt": np.greater,
    "is_finite": np.isfinite,
    "le": np.less_equal,
    "log": np.log,
    "log1p": np.log1p,
    "logistic": lambda x: 1 / (1 + np.exp(-x)),
    "lt": np.less,
    "max": np.maximum,
    "min": np.minimum,
    "mul": np.multiply,
    "name": np.copy,
    "ne": np.not_equal,
    "neg": np.negative,
    "not": np.logical_not,
    "or": np.logical_or,
    "reduce_precision": np.copy,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "select_n": lambda which, *cases: np.choose(np.asarray(which, int), cases, mode="clip"),
    "sign": np.sign,
    "sin": np.sin,
    "sqrt": np.sqrt,
    "square": np.square,
    "stop_gradient": np.copy,
    "sub": np.subtract,
    "tan": np.tan,
    "tanh": np.tanh,
}
WIDE = frozenset({"int32", "int64"})  # integers that hold the samples
BITWISE = frozenset({"and", "or", "not"})  # followed for booleans only
SAME = frozenset({"copy", "name", "neg", "reduce_precision", "stop_gradient"})
LINEAR = frozenset({"add", "add_any", "sub"})
ANALYTIC = frozenset({"cos", "erf", "erfc", "exp", "exp2", "expm1", "logistic", "sin", "square", "tanh"})
PIECEWISE = frozenset({"abs", "cbrt", "log", "log1p", "rsqrt", "sqrt", "tan"})  # analytic between a few numbers


def form(name: str, params: dict[str, Any], values: Sequence[Value]) -> Form:
    """The form of the chain after one more operation, apart from its being constant, which the samples tell."""
    forms = [v.life.form for v in values if isinstance(v, Image)]
    least, alone = min(forms), len(forms) == 1
    if name in SAME or (name == "convert_element_type" and np.issubdtype(params["new_dtype"], np.inexact)):
        return least
    if name in LINEAR or (name in {"mul", "div"} and alone and (name == "mul" or isinstance(values[0], Image))):
        return least if alone or least >= Form.SMOOTH else Form.ANY
    if name == "mul":
        return Form.SMOOTH if least >= Form.SMOOTH else Form.ANY
    if name in ANALYTIC or (name == "integer_pow" and params["y"] > 0):
        return min(least, Form.SMOOTH)
    if name in PIECEWISE or (name in {"div", "integer_pow"} and alone):
        return min(least, Form.UNEVEN)
    if name == "select_n" and all(isinstance(v, Image) for v in values[1:]):
        return min(Form.UNEVEN, *(v.life.form for v in values[1:] if isinstance(v, Image)))
    return Form.ANY


def follow(name: str, params: dict[str, Any], values: Sequence[Value], dtype: str) -> np.ndarray | None:
    """The curve after one more operation, with a result of this dtype, on values of one chain and on single numbers;
    None if it is lost, also where integers behave unlike numbers.
    """
    operands = [_operand(v) for v in values]
    function = _function(name, params)
    if "int" in dtype and (dtype not in WIDE or name in BITWISE or name == "div"):
        return None
    if function is None or any(v is None for v in operands):
        return None
    with np.errstate(all="ignore"):
        return np.asarray(np.broadcast_to(function(*operands), SAMPLES.shape), np.float64)


def _operand(value: Value) -> Any:
    if isinstance(value, Image):
        return SAMPLES if value.life.curve is None else value.life.curve
    if isinstance(value, Known) and (squashed := value.squashed).size == 1 and squashed.dtype.kind in "biuf":
        return float(squashed.reshape(()))
    return None


def _function(name: str, params: dict[str, Any]) -> Callable[..., Any] | None:
    if name == "integer_pow":
        return lambda x: x ** float(params["y"])
    if name == "convert_element_type":
        kind = np.dtype(params["new_dtype"]).kind
        kinds: dict[str, Callable[..., Any]] = {"b": lambda x: x != 0, "i": np.trunc}
        return kinds.get(kind, np.copy)
    return FUNCTIONS.get(name)
