"""Constants that a walk computes inside its program, in every type: ramps, quotients, residues, and steps on them.

A recipe is plain data, so that a walk can be printed, and one number of it changed. The same recipe may be asked for
along an image axis, where most values must be refused, or for a single number.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

FLOATS = ("float32", "bfloat16", "float16")
DTYPES = (*FLOATS, "int32", "int8", "uint8", "bool")
Recipe = dict[str, Any]  # base, a, b, dtype, steps: see `vector`


def _iota(n: int, dtype: Any) -> Any:
    return lax.iota(np.int32, n).astype(dtype)


BASES: dict[str, Callable[[int, int, int, Any], Any]] = {  # of a length, two numbers and a type of floats
    "iota": lambda n, a, b, f: _iota(n, f) + a,
    "ramp": lambda n, a, b, f: _iota(n, f) * a / b,
    "factor": lambda n, a, b, f: _iota(n, f) * (a / b),
    "centres": lambda n, a, b, f: (_iota(n, f) + 0.5) * a / b - 0.5,
    "linspace": lambda n, a, b, f: jnp.linspace(0, a, n, dtype=f),
    "share": lambda n, a, b, f: _iota(n, f) / n * a,
    "there and back": lambda n, a, b, f: _iota(n, f) / b * b - _iota(n, f),
    "twice": lambda n, a, b, f: _iota(n, f) * (a / b) - _iota(n, f) * a / b,
    "absorbed": lambda n, a, b, f: (_iota(n, f) / b + 2.0 ** (a + 5)) - 2.0 ** (a + 5),
    "flushed": lambda n, a, b, f: ((_iota(n, "float32") * (a * 1e-40) > 0) == (_iota(n, f) > 0)).astype(f),
    "cut alike": lambda n, a, b, f: (jnp.floor(_iota(n, f) * a / b) == _iota(n, "int32") * a // b).astype(f),
    "subnormal": lambda n, a, b, f: _iota(n, f) * (1e-39 if f != "float16" else 6e-8) * a,
    "tiny squared": lambda n, a, b, f: (_iota(n, f) * 1e-23) * (1e-23 * a),
    "random": lambda n, a, b, f: jax.random.uniform(jax.random.key(a), (n,), f),
    "random number": lambda n, a, b, f: jnp.full(n, jax.random.normal(jax.random.key(a), (), f)),
    "random bits": lambda n, a, b, f: jax.random.randint(jax.random.key(a), (n,), 0, b).astype(f),
    "uniform": lambda n, a, b, f: jnp.full(n, a / b, f),
    "computed": lambda n, a, b, f: jnp.full(n, a, f) / b,
    "residue": lambda n, a, b, f: (lax.iota(np.int32, n) % b * a).astype(f),
    "half residue": lambda n, a, b, f: _iota(n, "float16") % b * a,
    "table": lambda n, a, b, f: jnp.asarray(np.arange(b, dtype=np.int32) * 7 % 5 + a)[lax.iota(np.int32, n) % b],
    "closed over": lambda n, a, b, f: jnp.asarray(np.arange(n) % b * a, f),
    "counted": lambda n, a, b, f: jnp.cumsum(jnp.ones(n, f)) * a,
    "wave": lambda n, a, b, f: jnp.sin(_iota(n, f) * (2 * np.pi / b)) * a,
    "looped": lambda n, a, b, f: lax.fori_loop(0, b, lambda i, v: v / 3 + a, _iota(n, f)),
    "jitted": lambda n, a, b, f: jax.jit(lambda t: (t * a) / b)(_iota(n, f)),
    "scanned": lambda n, a, b, f: lax.scan(lambda c, t: (c, t * a / b), 0, _iota(n, f))[1],
}

STEPS: dict[str, Callable[[Any, int], Any]] = {
    "floor": lambda v, c: jnp.floor(v) if _real(v) else v,
    "ceil": lambda v, c: jnp.ceil(v) if _real(v) else v,
    "round": lambda v, c: jnp.round(v) if _real(v) else v,
    "sign": lambda v, c: jnp.sign(_number(v)),
    "whole": lambda v, c: v.astype(np.int32),
    "byte": lambda v, c: v.astype(np.int8),
    "half": lambda v, c: v.astype(jnp.bfloat16),
    "double back": lambda v, c: v.astype(jnp.float16).astype(jnp.float32),
    "less": lambda v, c: v < c,
    "equal": lambda v, c: v == c,
    "positive": lambda v, c: _number(v) > 0,
    "at least": lambda v, c: _number(v) >= c / 2,
    "modulo": lambda v, c: _number(v) % (abs(c) + 2),
    "scaled": lambda v, c: _number(v) * (c + 1),
    "divided": lambda v, c: v / (abs(c) + 2) if _real(v) else v // (abs(c) + 2) if v.dtype != bool else v,
    "clipped": lambda v, c: jnp.clip(_number(v), -1, abs(c)),
    "largest": lambda v, c: jnp.full(v.shape, v.max()),
    "last": lambda v, c: jnp.full(v.shape, v[-1]),
    "where": lambda v, c: jnp.where(_number(v) > c, 3, 5),
    "finite": lambda v, c: jnp.isfinite(_number(v)),
    "log": lambda v, c: jnp.log(jnp.abs(v)) if _real(v) else v,
    "root": lambda v, c: jnp.sqrt(jnp.abs(v)) if _real(v) else v,
    "ranked": lambda v, c: jnp.argsort(v),
    "counted": lambda v, c: jnp.cumsum(_number(v)),
}


def _real(v: Any) -> bool:
    return bool(jnp.issubdtype(v.dtype, jnp.floating))


def _number(v: Any) -> Any:
    return v.astype(np.int32) if v.dtype == bool else v


def recipe(rng: np.random.Generator, *, base: str | None = None, most: int = 3) -> Recipe:
    """A recipe of up to `most` steps."""
    names = list(STEPS)
    return {
        "base": base or str(rng.choice(list(BASES))),
        "a": int(rng.integers(1, 8)),
        "b": int(rng.integers(2, 8)),
        "dtype": str(rng.choice(FLOATS, p=(0.6, 0.2, 0.2))),
        "steps": [[str(rng.choice(names)), int(rng.integers(0, 5))] for _ in range(rng.integers(0, most + 1))],
    }


def vector(n: int, made: Recipe, dtype: Any = None) -> Any:
    """The constant of a length, shape (n,)."""
    v = BASES[made["base"]](n, made["a"], made["b"], made["dtype"])
    for name, number in made["steps"]:
        v = STEPS[name](v, number)
    return v if dtype is None else as_type(v, dtype)


def number(made: Recipe, dtype: Any = None) -> Any:
    """One number of the constant."""
    return vector(made["b"] + 3, made, dtype)[made["a"] % 4]


def as_type(v: Any, dtype: Any) -> Any:
    """Converted, where floats too large for an integer type would be undefined."""
    if _real(v) and not jnp.issubdtype(dtype, jnp.floating) and jnp.dtype(dtype).kind != "b":
        v = jnp.clip(jnp.nan_to_num(v), -100, 100)
    return v.astype(dtype)
