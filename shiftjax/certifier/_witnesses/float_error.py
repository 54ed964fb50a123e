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

from shiftjax._arithmetic import ceil_div
from shiftjax.certifier import _jaxpr
from shiftjax.certifier._witnesses.float_range import HUGE, Range, range_of, range_of_exponents

AXIS = "rounding"  # along which the two computations lie
ENLARGED = 2.0**-44  # of a value; float64 itself errs by 2^-53, and sums of many terms by a few times that
LONGEST = 2000  # operations of a program
LENGTH = 2**18  # of the random numbers, which repeat after that
# Times the distance of the two computations: beyond that, a difference is not rounding. One that is rounding passes
# only if both distances happen to be small: once in 2^46 for a single operation, in 2^34 for sums of 4096 terms.
FAR = 2.0**14

# Operations that return values of their operands as they are, up to the sign, so that nothing is rounded.
EXACT = frozenset(
    """abs broadcast_in_dim clamp concatenate convert_element_type copy cummax cummin device_put dynamic_slice
    dynamic_update_slice gather iota max min name neg optimization_barrier pad reduce_max reduce_min reduce_precision
    reduce_window_max reduce_window_min reshape rev scatter select_n sharding_constraint slice split squeeze stack
    stop_gradient tile transpose unstack""".split()  # noqa: SIM905
)
# Operations that add up many terms. Each term gets an error of its own, for large terms may cancel.
SUMS = frozenset({"conv_general_dilated", "cumsum", "dot_general", "fft", "reduce_sum", "reduce_window_sum"})
# Discontinuous operations of floats; all that make integers or truth values of floats are, too.
JUMPING = frozenset({"atan2", "ceil", "floor", "nextafter", "rem", "round", "sign", "sort"})
COMPARING = {"eq": lax.eq, "ge": lax.ge, "gt": lax.gt, "le": lax.le, "lt": lax.lt, "ne": lax.ne}
# Special functions, which no implementation gives to all digits, and by how much more they err.
SPECIAL = frozenset(
    """bessel_i0e bessel_i1e digamma erf_inv igamma igamma_grad_a igammac lgamma polygamma random_gamma_grad
    regularized_incomplete_beta zeta""".split()  # noqa: SIM905
)
ROUGH = 2.0**20


class Constant(NamedTuple):
    """A value that depends neither on the image nor on parameters: computed in its own type, as in the certificate."""

    value: Any


def twice(program: _jaxpr.Program) -> Callable[[Any, Sequence[Any]], list[Any]]:
    """The program, with a leading axis of size 2 before every result: as it is, and with errors enlarged.

    To be traced and run where 64 bits are enabled, with `errors` as the first operand.
    """

    def once(number: Any, noise: Any, values: Sequence[Any]) -> list[Any]:
        return _Computation(number, noise)._plainly(program, *map(_widened, values))

    over_both = jax.vmap(once, in_axes=(0, None, None), axis_name=AXIS)
    return lambda noise, values: over_both(jnp.arange(2), noise, list(values))


@functools.cache
def errors(seed: int) -> np.ndarray:
    """Random numbers that errors are made of, between -1 and 1."""
    return np.random.Philox(key=seed).random_raw(LENGTH).astype(np.float64) * 2.0**-63 - 1


def apart(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """By how much results of `twice` differ beyond doubt, for each element; 0 where it may be rounding."""
    with np.errstate(all="ignore"):
        a, b = one.astype(np.float64), two.astype(np.float64)
        gap = np.maximum(a.min(0) - b.max(0), b.min(0) - a.max(0))
        width = np.maximum(np.ptp(a, 0), np.ptp(b, 0))
        return np.where(np.isfinite(gap) & np.isfinite(width) & (gap > FAR * width), gap, 0.0)


class _Computation:
    """One of the two computations, under `vmap` over both."""

    def __init__(self, number: Any, noise: Any) -> None:
        self.number = number  # 0 as it is, 1 with errors enlarged
        self.noise = noise
        self.count = 0  # of operations that were rounded, so that each has errors of its own

    def run(self, program: _jaxpr.Program, values: Sequence[Any]) -> list[Any]:
        env = dict(zip(program.inputs, [*map(Constant, program.constants), *values], strict=True))

        def read(atom: Any) -> Any:
            value = _jaxpr.literal(atom)
            return env[atom] if value is None else Constant(np.asarray(value, _jaxpr.dtype(atom)))

        for call in program.calls:
            env.update(zip(call.results, self.apply(call, [read(atom) for atom in call.operands]), strict=True))
        return [read(atom) for atom in program.outputs]

    def apply(self, call: _jaxpr.Call, operands: list[Any]) -> list[Any]:
        inner = _inner(call)
        if inner is not None:
            return self.run(inner, operands)
        on_cpu = _jaxpr.form_on(call.params, "cpu")  # where this runs; `lax.switch` would run the others as well
        if on_cpu is not None:
            return self.run(_jaxpr.program(on_cpu), operands[1:])
        if all(isinstance(v, Constant) for v in operands):
            return [Constant(v) for v in _bind(call, call.params, [v.value for v in operands])]
        values = list(map(_plain, operands))
        rebuilt = _rebuilt().get(call.primitive)
        if rebuilt is not None:
            return list(rebuilt(self, call, values))
        return self._operation(call, values)

    def _operation(self, call: _jaxpr.Call, values: list[Any]) -> list[Any]:
        name = call.name
        if (
            name in {"reduce_precision", "convert_element_type"}
            and _inexact(call.results[0].aval)
            and _float(values[0])
        ):  # exact but for what the narrower type cannot hold
            bits = call.params.get("exponent_bits")
            held = range_of(call.results[0].aval.dtype) if bits is None else range_of_exponents(bits)
            return [self._rounded(values[0], held, 0.0)]
        if name == "bitcast_convert_type":  # reads the bits of the type that the program has
            narrow = [v.astype(atom.aval.dtype) for v, atom in zip(values, call.operands, strict=True)]
            return [_widened(v) for v in _bind(call, call.params, narrow)]
        if name in COMPARING and _float(values[0]):
            return [self._compared(name, *values)]
        if name == "convert_element_type" and _float(values[0]) and call.results[0].aval.dtype == np.bool_:
            return [self._compared("ne", values[0], 0.0)]
        if name in JUMPING or not all(_inexact(v.aval) for v in call.results):
            values = [self._moved(v) if _float(v) else v for v in values]
        if name in SUMS and _float(values[0]):
            widest = max(range(len(values)), key=lambda k: values[k].size)
            values[widest] = self._rounded(values[widest], range_of(call.operands[widest].aval.dtype))
        results = _bind(call, {k: _wide(k, v) for k, v in call.params.items()}, values)
        if name in EXACT or name in JUMPING:
            return results
        times = ROUGH if name in SPECIAL else 1.0
        typed = zip(results, call.results, strict=True)
        return [self._rounded(v, range_of(to.aval.dtype), times) if _float(v) else v for v, to in typed]

    def _random(self, shape: Sequence[int]) -> Any:
        """Numbers between -1 and 1, other ones for each operation."""
        self.count += 1
        if self.count > LONGEST:
            raise NotImplementedError("a program that takes long to compile")
        size, start = int(np.prod(shape, dtype=np.int64)), self.count * 7919 % (LENGTH // 2)
        if size <= LENGTH // 2:
            return lax.slice(self.noise, [start], [start + size]).reshape(shape)
        turns = ceil_div(size, LENGTH // 2 + 1)
        row = lax.slice(self.noise, [start], [start + LENGTH // 2 + 1])
        return lax.slice(lax.broadcast(row, [turns]).reshape(-1), [0], [size]).reshape(shape)

    def _rounded(self, value: Any, held: Range, times: float = 1.0) -> Any:
        """A value with an error of its own, at least as large as the numbers that the program's type takes for zero.

        NaN where that type overflows, or float64 does: such a pixel shows nothing.
        """
        lost = jnp.isfinite(value) & (jnp.abs(value) > held.largest)
        error = times * ENLARGED * jnp.abs(value) + held.least
        return jnp.where(lost, jnp.nan, value) + self.number * self._random(value.shape) * error

    def _error(self, value: Any) -> tuple[Any, Any]:
        """A value as it is, and far more than its error; NaN where it is lost."""
        both = lax.all_gather(value, AXIS)
        return both[0], jnp.where(both[0] == both[1], 0.0, FAR * jnp.abs(both[1] - both[0]))

    def _moved(self, value: Any) -> Any:
        """The operand of a discontinuous operation, moved by far more than its error: up in one, down in the other."""
        value, error = self._error(value)
        random = self._random(value.shape)
        way = (1 - 2 * self.number) * jnp.where(random < 0, random - 1, random + 1)
        return jnp.where(jnp.isfinite(error), value + error * way, way * HUGE)

    def _compared(self, name: str, one: Any, two: Any) -> Any:
        """True in one computation and false in the other where the difference may be nothing but error."""
        gap, error = self._error(one - two)
        doubtful = ~(jnp.abs(gap) > error) & (error != 0)
        return jnp.where(doubtful, self.number == 0, COMPARING[name](gap, jnp.zeros_like(gap)))

    def _cond(self, call: _jaxpr.Call, values: list[Any]) -> Any:
        branches = [functools.partial(self._plainly, _jaxpr.program(b)) for b in call.params["branches"]]
        return lax.switch(values[0], branches, *values[1:])

    def _while(self, call: _jaxpr.Call, values: list[Any]) -> Any:
        first, second = call.params["cond_nconsts"], call.params["body_nconsts"]
        asked, fixed, start = values[:first], values[first : first + second], values[first + second :]
        condition, body = _jaxpr.program(call.params["cond_jaxpr"]), _jaxpr.program(call.params["body_jaxpr"])
        return lax.while_loop(
            lambda state: self._plainly(condition, *asked, *state)[0],
            lambda state: self._plainly(body, *fixed, *state),
            start,
        )

    def _scan(self, call: _jaxpr.Call, values: list[Any]) -> Any:
        constants, carried = _jaxpr.scan_parts(call.params, len(values))
        fixed, start, rows = values[:constants], values[constants : constants + carried], values[constants + carried :]
        body = _jaxpr.program(call.params["jaxpr"])

        def turn(carry: list[Any], row: list[Any]) -> tuple[list[Any], list[Any]]:
            results = self._plainly(body, *fixed, *carry, *row)
            return results[:carried], results[carried:]

        carry, rows = lax.scan(turn, start, rows, call.params["length"], call.params["reverse"])
        return [*carry, *rows]

    def _plainly(self, program: _jaxpr.Program, *values: Any) -> list[Any]:
        return [_plain(v) for v in self.run(program, values)]

    def _scalar(self, call: _jaxpr.Call, name: str) -> Callable[..., Any]:
        """The function of a reduction."""
        program = _jaxpr.program(call.params[name])
        return lambda a, b: self._plainly(program, a, b)[0]

    def _reduce(self, call: _jaxpr.Call, values: list[Any]) -> Any:
        half = len(values) // 2
        if half > 1:
            raise NotImplementedError("a reduction of several arrays at once")
        result = lax.reduce(values[0], values[1], self._scalar(call, "jaxpr"), call.params["dimensions"])
        return [self._rounded(result, range_of(call.results[0].aval.dtype)) if _float(result) else result]

    def _scatter(self, call: _jaxpr.Call, values: list[Any]) -> Any:
        options = {k: call.params[k] for k in ("indices_are_sorted", "unique_indices", "mode")}
        combine = getattr(lax, call.name.replace("-", "_"))
        if combine is lax.scatter_add and _float(values[2]):
            values[2] = self._rounded(values[2], range_of(call.operands[2].aval.dtype))
        result = combine(*values, call.params["dimension_numbers"], **options)
        return [self._rounded(result, range_of(call.results[0].aval.dtype)) if _float(result) else result]


@functools.cache
def _rebuilt() -> dict[Any, Callable[..., Any]]:
    """Operations that hold programs of their own, which would still compute in the narrow type."""
    found: dict[Any, Callable[..., Any]] = {
        _jaxpr.primitive("cond"): _Computation._cond,
        _jaxpr.primitive("while"): _Computation._while,
        _jaxpr.primitive("scan"): _Computation._scan,
        _jaxpr.primitive("reduce"): _Computation._reduce,
    }
    scatters = ("scatter", "scatter_add", "scatter_mul", "scatter_min", "scatter_max")
    return found | {_jaxpr.primitive(name): _Computation._scatter for name in scatters}


@functools.cache
def _calls() -> frozenset[Any]:
    names = ("jit", "remat", "custom_jvp_call", "custom_vjp_call", "closed_call")
    return frozenset(map(_jaxpr.primitive, names))


def _inner(call: _jaxpr.Call) -> _jaxpr.Program | None:
    """The program that a call runs, if it is nothing but a call."""
    if call.primitive not in _calls():
        return None
    return _jaxpr.program(call.params["jaxpr"] if "jaxpr" in call.params else call.params["call_jaxpr"])


def _bind(call: _jaxpr.Call, params: dict[str, Any], values: Sequence[Any]) -> list[Any]:
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
