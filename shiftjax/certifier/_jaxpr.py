"""The one place that touches JAX's jaxprs. The rest of the certifier sees `Program` and `Call`.

What differs between the supported versions of JAX is bridged here and nowhere else.
"""

from __future__ import annotations

import functools
import sys
import sysconfig
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.extend import core
from jax.extend.core import primitives

from shiftjax._parameters import put_together, take_apart

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Call:
    """One equation: a primitive, its parameters, and its operands and results by variable or literal."""

    primitive: Any
    params: dict[str, Any]
    operands: tuple[Any, ...]
    results: tuple[Any, ...]
    effects: frozenset[Any]
    info: Any
    equation: Any = None  # as JAX has it

    @property
    def name(self) -> str:
        return self.primitive.name

    @cached_property
    def in_shapes(self) -> tuple[Shape, ...]:
        return tuple(shape(v) for v in self.operands)

    @cached_property
    def out_shapes(self) -> tuple[Shape, ...]:
        return tuple(shape(v) for v in self.results)

    @cached_property
    def in_dtypes(self) -> tuple[str, ...]:
        return tuple(str(getattr(v.aval, "dtype", v.aval)) for v in self.operands)

    @cached_property
    def out_dtypes(self) -> tuple[str, ...]:
        return tuple(str(getattr(v.aval, "dtype", v.aval)) for v in self.results)


@dataclass(frozen=True)
class Program:
    """A jaxpr, open or closed, of any supported JAX."""

    inputs: tuple[Any, ...]  # constants first
    constants: tuple[Any, ...]  # their values; fewer where the caller passes them as operands
    calls: tuple[Call, ...]
    outputs: tuple[Any, ...]


def program(jaxpr: Any) -> Program:
    """Normalises a `Jaxpr` or a `ClosedJaxpr`; JAX 0.11 merges the two."""
    inner = getattr(jaxpr, "jaxpr", jaxpr)
    return Program(
        inputs=(*inner.constvars, *inner.invars),
        constants=tuple(getattr(jaxpr, "consts", ())),
        calls=_needed(
            [
                Call(
                    e.primitive,
                    _plain(dict(e.params)),
                    tuple(e.invars),
                    tuple(e.outvars),
                    frozenset(e.effects),
                    e.source_info,
                    e,
                )
                for e in inner.eqns
            ],
            inner.outvars,
        ),
        outputs=tuple(inner.outvars),
    )


def _plain(value: Any) -> Any:
    """Parameters with NumPy's integers as Python's."""
    if isinstance(value, np.integer):
        return int(value)
    if type(value) is dict:
        return {k: _plain(v) for k, v in value.items()}
    if not isinstance(value, tuple):
        return value
    entries = map(_plain, value)
    return type(value)(*entries) if hasattr(value, "_fields") else tuple(entries)


def _needed(calls: Sequence[Call], outputs: Sequence[Any]) -> tuple[Call, ...]:
    """The calls whose results are used: what is not run needs no proof. Those with effects stay."""
    used = {v for v in outputs if literal(v) is None}
    needed = []
    for call in reversed(calls):
        if call.effects or any(v in used for v in call.results):
            needed.append(call)
            used.update(v for v in call.operands if literal(v) is None)
    return tuple(reversed(needed))


def is_program(value: Any) -> bool:
    """Whether a parameter is a jaxpr, open or closed."""
    return hasattr(value, "eqns") or hasattr(getattr(value, "jaxpr", None), "eqns")


def programs(params: dict[str, Any]) -> Iterator[Any]:
    """The jaxprs among the parameters of an equation."""
    for value in params.values():
        yield from filter(is_program, value if isinstance(value, tuple | list) else (value,))


def inner_dtypes(params: dict[str, Any]) -> Iterator[str]:
    """The types of all values in the programs among some parameters, and in those that they run."""
    for jaxpr in programs(params):
        for call in program(jaxpr).calls:
            yield from (*call.in_dtypes, *call.out_dtypes)
            yield from inner_dtypes(call.params)


def nameable(value: Any) -> Any:
    """A parameter with operations, and the kinds of random keys, which are tuples of functions, by their names."""
    if isinstance(value, core.Primitive):
        return f"operation {value.name}"
    if type(value).__module__.endswith(".flattree"):  # how JAX 0.11 says which operands of a loop are which
        return f"trees {value!r}"
    is_key_kind = type(value).__name__ == "PRNGImpl"  # JAX does not export its type
    return f"random keys {value.name}" if is_key_kind else value


def literal(atom: Any) -> Any | None:
    """The value of a literal operand (a scalar, or any array with simplified constants); None for a variable."""
    return atom.val if isinstance(atom, core.Literal) else None


def dtype(atom: Any) -> Any:
    return getattr(atom.aval, "dtype", None)


def shape(atom: Any) -> Shape:
    return tuple(map(int, getattr(atom.aval, "shape", ())))


@dataclass(frozen=True)
class Traced:
    """A traced function: its program, and the names of its parameters and of its outputs."""

    program: Program
    parameters: tuple[str, ...]
    parameter_shapes: tuple[tuple[Shape, str], ...]
    outputs: tuple[str, ...]
    tree: Any  # of the outputs


def trace(fn: Callable[..., Any], x: Any) -> Traced:
    """Traces `fn(x)` abstractly; the parameters of the function become inputs ahead of `x`."""
    parts = take_apart(fn)

    def apply(arrays: Sequence[Any], image: Any) -> Any:
        return put_together(arrays, parts.leaves, parts.tree)(image)

    arrays = [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in parts.arrays]
    closed, out = jax.make_jaxpr(apply, return_shape=True)(arrays, jax.ShapeDtypeStruct(x.shape, x.dtype))
    return Traced(
        program(closed),
        parts.names,
        tuple((tuple(leaf.shape), str(leaf.dtype)) for leaf in arrays),
        tuple(jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_flatten_with_path(out)[0]),
        jax.tree_util.tree_structure(out),
    )


def concrete(value: Any) -> np.ndarray | None:
    """A constant on the host; None for tracers and keys, whose values stay unknown."""
    try:
        return np.asarray(value)
    except (TypeError, ValueError, jax.errors.JAXTypeError):
        return None


def key_data(value: Any) -> Any:
    """What identifies a constant without a value on the host: the bits of a random key; for a tracer, nothing."""
    try:
        return str(value.dtype), np.asarray(jax.random.key_data(value))
    except (AttributeError, TypeError, ValueError, jax.errors.JAXTypeError):
        return object()


def evaluate(primitive: Any, params: dict[str, Any], operands: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Runs one primitive on known values, on the CPU, as it would run by itself."""
    with jax.ensure_compile_time_eval(), jax.default_device(jax.devices("cpu")[0]):
        out = primitive.bind(*map(jax.numpy.asarray, operands), **params)
        return [np.asarray(o) for o in (out if primitive.multiple_results else [out])]


def bind(call: Call, operands: Sequence[Any]) -> list[Any]:
    """Runs or traces one equation on values of its operands, literals among them; its source line stays what it is."""
    equation = call.equation
    pairs = [(atom, value) for atom, value in zip(equation.invars, operands, strict=True) if literal(atom) is None]
    inputs = {id(atom): (atom, value) for atom, value in pairs}.values()  # each variable once
    names = tuple("" for _ in inputs), tuple("" for _ in equation.outvars)
    about = core.DebugInfo("shiftjax", equation.primitive.name, *names)
    alone = core.Jaxpr((), [atom for atom, _ in inputs], equation.outvars, [equation], equation.effects, about)
    return list(core.jaxpr_as_fun(core.ClosedJaxpr(alone, ()))(*(value for _, value in inputs)))


def scan_parts(params: dict[str, Any], operands: int) -> tuple[int, int]:
    """How many operands of a `scan` are constants and how many are carried; JAX 0.11 writes it another way."""
    if "ft_in" in params:
        constants, carried, _ = (len(list(part)) for part in params["ft_in"].update(range(operands)).unpack())
        return constants, carried
    return params["num_consts"], params["num_carry"]


def form_on(params: dict[str, Any], backend: str) -> Any | None:
    """The branch for a backend of a `cond` that `jax.lax.platform_dependent` made; None for any other operation."""
    names = {backend, *({"cuda", "rocm"} if backend == "gpu" else ())}
    pairs = zip(params.get("branches", ()), params.get("branches_platforms") or (), strict=False)
    return next((branch for branch, platforms in pairs if platforms is None or names & set(platforms)), None)


@functools.cache
def primitive(name: str) -> Any | None:
    """The primitive object of that name, or None where this JAX has none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for module in (jax.lax, primitives):
            exported = getattr(module, name + "_p", None)
            if exported is not None:
                return exported
    return _probed().get(name)


@functools.cache
def _probed() -> dict[str, Any]:
    """Primitives that JAX exports nowhere, caught by tracing functions that use them."""

    def branched(x: Any) -> Any:
        return jax.lax.platform_dependent(x, cpu=lambda v: v + 1, default=lambda v: v)

    mesh = jax.sharding.AbstractMesh((1,), ("i",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = jax.sharding.PartitionSpec("i")
    mapped = jax.shard_map(lambda v: v * 2, mesh=mesh, in_specs=spec, out_specs=spec)
    traced = [jax.make_jaxpr(fn)(np.float32(0)).eqns for fn in (branched, jax.grad(lambda x: x * x))]
    (outer,) = jax.make_jaxpr(mapped)(np.zeros(1, np.float32)).eqns
    traced += [[outer], getattr(outer.params["jaxpr"], "jaxpr", outer.params["jaxpr"]).eqns]
    return {e.primitive.name: e.primitive for eqns in traced for e in eqns}


STANDARD = sysconfig.get_path("stdlib")
LIBRARIES = ("jax", "flax", "equinox", "haiku", "jaxtyping", "beartype")
BETWEEN = ("certifier", "translation")  # packages of this library between the user's code and JAX
NETWORKS = tuple(str(Path(__file__).parents[1] / name) for name in ("nets", "_xla_cpu.py"))
OPERATIONS = str(Path(__file__).parents[1] / "translation" / "_torch" / "_operations")


@functools.lru_cache(maxsize=4096)
def is_user_code(file: str) -> bool:
    """Whether a file is the user's code, not Python's, JAX's or a neural network library's."""
    modules = [getattr(sys.modules.get(name), "__file__", None) for name in LIBRARIES]
    own = Path(__file__).parents[1]  # some of its packages evaluate what the user has written
    folders = [str(Path(module).parent) for module in modules if module] + [str(own / name) for name in BETWEEN]
    standard = file.startswith(STANDARD) and "-packages" not in file
    return not standard and not file.startswith(("<", *folders))


def source(info: Any) -> str:
    """ "file:line" of the innermost frame of the user's code that made an equation; empty if JAX kept none.

    JAX cuts the frames at a jitted function, so that what its own functions do inside shows none.
    """
    frames = getattr(getattr(info, "traceback", None), "frames", None) or ()
    at = next((k for k, f in enumerate(frames) if f.file_name.startswith(OPERATIONS)), -1)  # innermost first
    frames = frames[at + 1 :]  # without what an operation of another library is made of
    return next((f"{f.file_name}:{f.line_num}" for f in frames if is_user_code(f.file_name)), "")


def scope(info: Any) -> str:
    """The module path that Linen and `jax.named_scope` leave on an equation."""
    return str(getattr(info, "name_stack", ""))
