"""A program in float64, computed twice: as it is, and with every rounding error enlarged at random.

How far the two results lie apart tells how much of a result is rounding (random rounding: J. Vignes, Mathematics and
Computers in Simulation 35, 1993). A difference far above that is a difference in exact arithmetic. Integers are
computed in their own type, where equal means equal.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from shiftjax.certifier import _jaxpr as adapter

AXIS = "rounding"  # along which the two computations lie
ENLARGED = 2.0**-44  # of a value; float64 itself errs by 2^-53, and sums of many terms by a few times that
SMALLEST = 1e-290  # added to all results, so that what underflows to zero is not taken for zero
FAR = 1024.0  # times the distance of the two computations: beyond that, a difference is not rounding

# Operations that return some of their operands' values as they are, so that nothing is rounded.
EXACT = frozenset(
    "abs broadcast_in_dim clamp concatenate convert_element_type copy cummax cummin device_put dynamic_slice "
    "dynamic_update_slice gather imag iota max min name neg optimization_barrier pad real reduce_max reduce_min "
    "reduce_precision reduce_window_max reduce_window_min reshape rev scatter select_n sharding_constraint slice split "
    "squeeze stack stop_gradient tile transpose unstack".split()
)
# Operations of floats that jump; so do all that make integers or truth values of floats.
JUMPING = frozenset("atan2 ceil floor nextafter rem round sign sort".split())


class Constant(NamedTuple):
    """A value that depends neither on the image nor on parameters: computed in its own type, as it is certified."""

    value: Any


def twice(program: adapter.Program) -> Callable[[Sequence[Any]], list[Any]]:
    """The program, with a leading axis of size 2 before every result: as it is, and with errors enlarged.

    To be traced and run where 64 bits are enabled.
    """

    def once(number: Any, values: Sequence[Any]) -> list[Any]:
        return _Computation(number)._plainly(program, *map(_widened, values))

    return lambda values: jax.vmap(once, in_axes=(0, None), axis_name=AXIS)(jnp.arange(2), list(values))


def apart(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """By how much results of `twice` differ beyond doubt, for each element; 0 where it may be rounding."""
    with np.errstate(all="ignore"):
        a, b = one.astype(np.float64), two.astype(np.float64)
        gap = np.maximum(a.min(0) - b.max(0), b.min(0) - a.max(0))
        width = np.maximum(np.ptp(a, 0), np.ptp(b, 0))
        return np.where(np.isfinite(gap) & np.isfinite(width) & (gap > FAR * width), gap, 0.0)


class _Computation:
    """One of the two computations, under `vmap` over both."""

    def __init__(self, number: Any) -> None:
        self.number = number  # 0 as it is, 1 with errors enlarged
        self.count = 0  # of operations that were rounded, so that each has errors of its own

    def run(self, program: adapter.Program, values: Sequence[Any]) -> list[Any]:
        env = dict(zip(program.inputs, [*map(Constant, program.constants), *values], strict=True))

        def read(atom: Any) -> Any:
            value = adapter.literal(atom)
            return env[atom] if value is None else Constant(np.asarray(value, adapter.dtype(atom)))

        for call in program.calls:
            env.update(zip(call.results, self.apply(call, [read(atom) for atom in call.operands]), strict=True))
        return [read(atom) for atom in program.outputs]

    def apply(self, call: adapter.Call, operands: list[Any]) -> list[Any]:
        inner = _inner(call)
        if inner is not None:
            return self.run(inner, operands)
        if all(isinstance(v, Constant) for v in operands):
            return [Constant(v) for v in _bind(call, call.params, [v.value for v in operands])]
        values = list(map(_plain, operands))
        rebuilt = _rebuilt().get(call.primitive)
        if rebuilt is not None:
            return list(rebuilt(self, call, values))
        return self._operation(call, values)

    def _operation(self, call: adapter.Call, values: list[Any]) -> list[Any]:
        name = call.name
        if name in {"reduce_precision", "convert_element_type"} and _inexact(call.results[0].aval) and _float(values[0]):
            return values
        if name == "bitcast_convert_type":  # reads the bits of the type that the program has
            narrow = [v.astype(atom.aval.dtype) for v, atom in zip(values, call.operands, strict=True)]
            return [_widened(v) for v in _bind(call, call.params, narrow)]
        if name in JUMPING or not all(_inexact(v.aval) for v in call.results):
            values = [self._moved(v) if _float(v) else v for v in values]
        results = _bind(call, {k: _wide(k, v) for k, v in call.params.items()}, values)
        exact = name in EXACT or name in JUMPING
        return [v if exact or not _float(v) else self._rounded(v) for v in results]

    def _noise(self, shape: Sequence[int]) -> Any:
        """Numbers between -1 and 1 that look random: a hash of the operation and the element."""
        self.count += 1
        bits = lax.iota(np.uint32, int(np.prod(shape, dtype=np.int64))).reshape(shape)
        bits = (bits + np.uint32(self.count * 0x9E3779B1 % 2**32)) * np.uint32(0x85EBCA77)
        for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
            bits = (bits ^ (bits >> np.uint32(shift))) * np.uint32(factor)
        return (bits ^ (bits >> np.uint32(16))).astype(jnp.float64) * 2.0**-31 - 1

    def _rounded(self, value: Any) -> Any:
        """With an error of its own. What overflows is lost for good: NaN, which no later operation makes finite."""
        noise = self.number * self._noise(value.shape)
        wrong = value * (1 + ENLARGED * noise) + SMALLEST * noise
        return jnp.where(jnp.isfinite(value) | (self.number == 0), wrong, jnp.nan)

    def _moved(self, value: Any) -> Any:
        """In front of a jump: moved by far more than its error, up in one computation and down in the other."""
        both = lax.all_gather(value, AXIS)
        error = FAR * jnp.abs(both[1] - both[0])
        noise = self._noise(value.shape)
        noise = (1 - 2 * self.number) * jnp.where(noise < 0, noise - 1, noise + 1)
        return jnp.where(jnp.isfinite(error), both[0] + error * noise, noise / SMALLEST)

    def _cond(self, call: adapter.Call, values: list[Any]) -> Any:
        branches = [functools.partial(self._plainly, adapter.program(b)) for b in call.params["branches"]]
        return lax.switch(values[0], branches, *values[1:])

    def _while(self, call: adapter.Call, values: list[Any]) -> Any:
        first, second = call.params["cond_nconsts"], call.params["body_nconsts"]
        asked, fixed, start = values[:first], values[first : first + second], values[first + second :]
        condition, body = adapter.program(call.params["cond_jaxpr"]), adapter.program(call.params["body_jaxpr"])
        return lax.while_loop(
            lambda state: self._plainly(condition, *asked, *state)[0],
            lambda state: self._plainly(body, *fixed, *state),
            start,
        )

    def _scan(self, call: adapter.Call, values: list[Any]) -> Any:
        constants, carried = adapter.scan_parts(call.params, len(values))
        fixed, start, rows = values[:constants], values[constants : constants + carried], values[constants + carried :]
        body = adapter.program(call.params["jaxpr"])

        def turn(carry: list[Any], row: list[Any]) -> tuple[list[Any], list[Any]]:
            results = self._plainly(body, *fixed, *carry, *row)
            return results[:carried], results[carried:]

        carry, rows = lax.scan(turn, start, rows, call.params["length"], call.params["reverse"])
        return [*carry, *rows]

    def _plainly(self, program: adapter.Program, *values: Any) -> list[Any]:
        return [_plain(v) for v in self.run(program, values)]

    def _scalar(self, call: adapter.Call, name: str) -> Callable[..., Any]:
        """The function of a reduction."""
        program = adapter.program(call.params[name])
        return lambda a, b: self._plainly(program, a, b)[0]

    def _reduce(self, call: adapter.Call, values: list[Any]) -> Any:
        half = len(values) // 2
        if half > 1:
            raise NotImplementedError("a reduction of several arrays at once")
        result = lax.reduce(values[0], values[1], self._scalar(call, "jaxpr"), call.params["dimensions"])
        return [self._rounded(result) if _float(result) else result]

    def _scatter(self, call: adapter.Call, values: list[Any]) -> Any:
        options = {k: call.params[k] for k in ("indices_are_sorted", "unique_indices", "mode")}
        combine = getattr(lax, call.name.replace("-", "_"))
        result = combine(*values, call.params["dimension_numbers"], **options)
        return [self._rounded(result) if _float(result) else result]


@functools.cache
def _rebuilt() -> dict[Any, Callable[..., Any]]:
    """Operations that hold programs of their own, which would still compute in the narrow type."""
    found: dict[Any, Callable[..., Any]] = {
        adapter.primitive("cond"): _Computation._cond,
        adapter.primitive("while"): _Computation._while,
        adapter.primitive("scan"): _Computation._scan,
        adapter.primitive("reduce"): _Computation._reduce,
    }
    scatters = ("scatter", "scatter_add", "scatter_mul", "scatter_min", "scatter_max")
    return found | {adapter.primitive(name): _Computation._scatter for name in scatters}


@functools.cache
def _calls() -> frozenset[Any]:
    names = ("jit", "remat", "custom_jvp_call", "custom_vjp_call", "closed_call")
    return frozenset(map(adapter.primitive, names))


def _inner(call: adapter.Call) -> adapter.Program | None:
    """The program that a call runs, if it is nothing but a call."""
    if call.primitive not in _calls():
        return None
    return adapter.program(call.params["jaxpr"] if "jaxpr" in call.params else call.params["call_jaxpr"])


def _bind(call: adapter.Call, params: dict[str, Any], values: Sequence[Any]) -> list[Any]:
    found = call.primitive.bind(*values, **params)
    return list(found) if call.primitive.multiple_results else [found]


def _plain(value: Any) -> Any:
    return _widened(jnp.asarray(value.value)) if isinstance(value, Constant) else value


def _widened(value: Any) -> Any:
    return value.astype(jnp.float64) if _inexact(value) else value


def _float(value: Any) -> bool:
    return value.dtype == np.float64


def _inexact(value: Any) -> bool:
    if jnp.issubdtype(value.dtype, np.complexfloating):
        raise NotImplementedError("complex numbers")
    return bool(jnp.issubdtype(value.dtype, np.floating))


def _wide(name: str, value: Any) -> Any:
    """A parameter of an operation, with float64 where it names a narrower type."""
    if name == "precision":
        return None
    kinds = isinstance(value, np.dtype | type) and jnp.issubdtype(value, np.floating)
    return np.dtype(np.float64) if kinds else value
