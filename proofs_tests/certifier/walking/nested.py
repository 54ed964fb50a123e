"""Steps of a walk that run another step inside: as a program of its own, in a loop, a branch, mapped, or mirrored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from proofs_tests.certifier.walking.constants import number, recipe
from proofs_tests.certifier.walking.kinds import KINDS, Kind, Options, View, ints, kind

Fn = Callable[[Any], Any]


def _custom_jvp(f: Fn, x: Any, o: Options) -> Any:
    inner = jax.custom_jvp(f)
    inner.defjvp(lambda primals, tangents: (f(primals[0]), tangents[0]))
    return inner(x)


def _custom_vjp(f: Fn, x: Any, o: Options) -> Any:
    inner = jax.custom_vjp(f)
    inner.defvjp(lambda v: (f(v), None), lambda residue, g: (g,))
    return inner(x)


def _constants(o: Options) -> Any:
    """One number for each turn, closed over."""
    return jnp.asarray(np.arange(o["turns"], dtype=np.int32) * o["c"] + 1)


def _scan_with_rows(f: Fn, x: Any, o: Options) -> Any:
    return lax.scan(lambda y, row: (f(_like(y, y * row)), None), ints(x), _constants(o))[0]


def _scan_out(f: Fn, x: Any, o: Options) -> Any:
    """The results of all turns, in a new axis of channels."""
    rows = lax.scan(lambda y, row: (_like(y, f(y)), _like(y, y + row)), ints(x), _constants(o), reverse=o["c"] > 2)[1]
    return jnp.moveaxis(rows, 0, -1).reshape(*x.shape[:-1], -1)


def _scan_over(f: Fn, x: Any, o: Options) -> Any:
    """Along one axis of the image."""
    rows = jnp.moveaxis(ints(x), o["axis"], 0)
    start = jnp.zeros(rows.shape[1:], rows.dtype)
    return jnp.moveaxis(lax.scan(lambda c, row: (c + row, c * 2 + row), start, rows)[1], 0, o["axis"])


def _while(f: Fn, x: Any, o: Options) -> Any:
    limit = number(o["made"], np.int32) % 4 if o["c"] > 2 else o["turns"]
    return lax.while_loop(lambda s: s[0] < limit, lambda s: (s[0] + 1, _like(s[1], f(s[1]))), (jnp.int32(0), ints(x)))[
        1
    ]


def _until(f: Fn, x: Any, o: Options) -> Any:
    """As long as the image says."""
    return lax.while_loop(lambda y: jnp.abs(y).max() > 10**9, lambda y: _like(y, f(y)), ints(x))


def _like(y: Any, z: Any) -> Any:
    """Of the type that a loop carries."""
    return z.astype(y.dtype)


def _mapped(f: Fn, x: Any, o: Options) -> Any:
    axis = o["axis"]

    def one(row: Any) -> Any:
        return jnp.squeeze(f(jnp.expand_dims(row, axis)), axis)

    if o["c"] % 2:
        return jax.vmap(one, axis, axis)(x)
    return jnp.moveaxis(lax.map(one, jnp.moveaxis(x, axis, 0)), 0, axis)


def _rows(f: Fn, x: Any, o: Options) -> Any:
    """A Python loop over the slices of one axis."""
    parts = [f(lax.slice_in_dim(x, k, k + 1, axis=o["axis"])) for k in range(x.shape[o["axis"]])]
    return jnp.concatenate(parts, o["axis"])


def _mirrored(f: Fn, x: Any, o: Options) -> Any:
    """Test-time augmentation."""
    there_and_back = jnp.flip(f(jnp.flip(x, o["axis"])), o["axis"])
    return there_and_back if o["c"] % 2 else jnp.maximum(ints(f(x)), ints(there_and_back))


def _branches(f: Fn, o: Options) -> list[Fn]:
    return [f, lambda v: _like(f(v), ints(f(v)) * 3), lambda v: _like(f(v), ints(f(v)) + o["c"])]


def _down_and_up(f: Fn, x: Any, o: Options) -> Any:
    """One level of an encoder-decoder, with its skip connection."""
    axis, factor = o["axis"], o["turns"] + 1
    window = [factor if k == axis else 1 for k in range(x.ndim)]
    low = lax.reduce_window(ints(x), 0 * x.dtype.type(0), lax.max, window, window, "VALID") if x.dtype != bool else x
    up = jnp.repeat(ints(f(low)), factor, axis)
    sizes = [min(n, m) for n, m in zip(x.shape, up.shape, strict=True)]
    return lax.slice(ints(x), [0] * x.ndim, sizes) + lax.slice(up, [0] * x.ndim, sizes)


def _closed_over(f: Fn, x: Any, o: Options) -> Any:
    """Nested programs that close over an array at the bottom."""
    table = np.arange(3, dtype=np.int32) * o["c"] + 1

    def inner(v: Any) -> Any:
        return jax.jit(lambda u: ints(u) * jnp.asarray(table)[1].astype(ints(u).dtype))(f(v))

    return jax.jit(inner)(x)


def _filled(f: Fn, x: Any, o: Options) -> Any:
    """A loop that fills an array, slice by slice."""
    axis = o["axis"]

    def turn(i: Any, y: Any) -> Any:
        row = f(lax.dynamic_slice_in_dim(x, i, 1, axis))
        return lax.dynamic_update_slice_in_dim(y, _like(y, row), i, axis)

    return lax.fori_loop(0, x.shape[axis], turn, jnp.zeros_like(x))


def _watched(f: Fn, x: Any, o: Options) -> Any:
    y = f(x)
    jax.debug.callback(lambda v: None, y)
    return y


def _on_one_device(f: Fn, x: Any, o: Options) -> Any:
    mesh = jax.make_mesh((1,), ("one",), devices=jax.devices()[:1])
    everywhere = jax.sharding.PartitionSpec()
    if o["c"] % 2:
        return f(lax.with_sharding_constraint(x, jax.sharding.NamedSharding(mesh, everywhere)))
    return jax.shard_map(f, mesh=mesh, in_specs=everywhere, out_specs=everywhere)(x)


How = tuple[Callable[[Fn, Any, Options], Any], str]  # what it computes, and the options that it takes
HOW: dict[str, How] = {
    "jit": (lambda f, x, o: jax.jit(f)(x), ""),
    "jit twice": (lambda f, x, o: jax.jit(f)(jax.jit(f)(x)), ""),
    "remat": (lambda f, x, o: jax.checkpoint(f)(x), ""),
    "custom_jvp": (_custom_jvp, ""),
    "custom_vjp": (_custom_vjp, ""),
    "scope": (lambda f, x, o: jax.named_call(f, name="block")(x), ""),
    "barrier": (lambda f, x, o: lax.optimization_barrier(f(lax.stop_gradient(x))), ""),
    "watched": (_watched, ""),
    "on one device": (_on_one_device, "c"),
    "closed over": (_closed_over, "c"),
    "cond": (lambda f, x, o: lax.cond(number(o["made"], np.bool_), *_branches(f, o)[:2], x), "made c"),
    "cond of the image": (lambda f, x, o: lax.cond(x.ravel()[0] > 0, *_branches(f, o)[:2], x), "c"),
    "switch": (lambda f, x, o: lax.switch(number(o["made"], np.int32), _branches(f, o), x), "made c"),
    "mapped": (_mapped, "axis c"),
    "transposed": (
        lambda f, x, o: jnp.swapaxes(f(jnp.swapaxes(x, o["axis"], o["other"])), o["axis"], o["other"]),
        "axis other",
    ),
    "chunks": (
        lambda f, x, o: jnp.concatenate([f(part) for part in jnp.array_split(x, 2, o["axis"])], o["axis"]),
        "axis",
    ),
}
KEEPING: dict[str, How] = {  # their inner step keeps shape and type
    "scan": (
        lambda f, x, o: lax.scan(lambda y, _: (_like(y, f(y)), None), ints(x), None, length=o["turns"])[0],
        "turns",
    ),
    "scan with rows": (_scan_with_rows, "turns c"),
    "scan out": (_scan_out, "turns c"),
    "scan over": (_scan_over, "axis"),
    "fori": (
        lambda f, x, o: lax.fori_loop(0, o["turns"], lambda i, y: _like(y, f(y)) + i.astype(y.dtype), ints(x)),
        "turns",
    ),
    "many turns": (lambda f, x, o: lax.fori_loop(0, 300, lambda i, y: _like(y, f(y)), ints(x)), ""),
    "while": (_while, "turns c made"),
    "until": (_until, ""),
    "rows": (_rows, "axis"),
    "filled": (_filled, "axis"),
    "mirrored": (_mirrored, "axis c"),
    "residual": (lambda f, x, o: ints(x) + ints(f(x)), ""),
    "down and up": (_down_and_up, "axis turns"),
    "down and up and joined": (_down_and_up, "axis turns"),
}


def nested(x: Any, *, how: str, inner: list[Any], o: Options) -> Any:
    name, options = inner
    return (HOW | KEEPING)[how][0](lambda v: KINDS[name].apply(v, **options), x, o)


@kind(nested, 8)
def _(v: View) -> Options | None:
    if v.complex:
        return None
    how = v.one_of(list(HOW | KEEPING))
    inside = [k for _, k in sorted(KINDS.items()) if k.arrays == 1 and k.apply is not nested and k.parameters == 0]
    if how in KEEPING:
        inside = [k for k in inside if k.keeps]
    step = draw_inner(v, inside)
    if step is None:
        return None
    o = {
        "turns": v.integer(0, 3),
        "c": v.integer(1, 4),
        "axis": v.axis(0.4 if how == "mapped" else 0.8),
        "other": v.axis(),
        "made": recipe(v.rng),
    }
    return {"how": how, "inner": step, "o": {name: o[name] for name in (HOW | KEEPING)[how][1].split()}}


def draw_inner(v: View, kinds: list[Kind]) -> list[Any] | None:
    """The name and options of one step among these."""
    weight = np.array([k.weight for k in kinds])
    chosen = kinds[int(v.rng.choice(len(kinds), p=weight / weight.sum()))]
    options = chosen.draw(v)
    return None if options is None else [chosen.apply.__name__, options]
