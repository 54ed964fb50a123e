"""What is not proved is refused: by name, with the line that asked for it, and with advice."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.experimental import io_callback
from jax.tree_util import Partial

from shiftjax.certifier import CertificationError, certify

X = jax.ShapeDtypeStruct((1, 12, 12, 4), jnp.float32)
KEY = jax.random.key(0)
NUMBER = jax.ShapeDtypeStruct((), jnp.float32)
GRID = np.linspace(0, 1, 12, dtype=np.float32)[:, None, None]
HALF = np.ones((12, 1, 1), np.float32)
HALF[:6] = 0
CONV: Any = {"window_strides": (1, 1), "padding": "VALID", "dimension_numbers": ("NHWC", "HWIO", "NHWC")}

REFUSED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "instance norm": (lambda x: jax.nn.standardize(x, axis=(1, 2)), "reduce_sum"),
    "layer norm over space": (lambda x: jax.nn.standardize(x, axis=(1, 2, 3)), "reduce_sum"),
    "batch norm in training": (lambda x: x - x.mean((0, 1, 2)), "reduce_sum"),
    "global pooling": (lambda x: x * x.max((1, 2), keepdims=True), "reduce_max"),
    "squeeze and excite": (lambda x: x * jax.nn.sigmoid(x.mean((1, 2), keepdims=True)), "reduce_sum"),
    "attention": (lambda x: jax.nn.dot_product_attention(x, x, x), "dot_general"),
    "flat attention": (lambda x: jnp.einsum("bqc,bkc->bqk", x.reshape(1, -1, 4), x.reshape(1, -1, 4)), "dot_general"),
    "softmax over space": (lambda x: jax.nn.softmax(x, axis=1), "reduce_max"),
    "cumulative sum": (lambda x: jnp.cumsum(x, axis=2), "cumsum"),
    "sort": (lambda x: jnp.sort(x, axis=1), "sort"),
    "argmax": (lambda x: jnp.argmax(x, axis=1), "argmax"),
    "top k": (lambda x: lax.top_k(x.transpose(0, 1, 3, 2), 2), "top_k"),
    "fft": (lambda x: jnp.fft.fft(x, axis=1).real, "fft"),
    "dense over space": (lambda x: x.reshape(1, -1) @ np.ones((576, 3), np.float32), "dot_general"),
    "dft matrix": (lambda x: jnp.einsum("bhwc,hk->bkwc", x, np.cos(np.outer(*[np.arange(12.0)] * 2))), "dot_general"),
    "positional grid": (lambda x: x + GRID, "add"),
    "iota": (lambda x: x * jnp.arange(12.0)[:, None], "mul"),
    "concatenated coordinates": (
        lambda x: jnp.concatenate([x, jnp.broadcast_to(GRID, (1, 12, 12, 1))], -1),
        "concatenate",
    ),
    "mask of one half": (lambda x: x * HALF, "mul"),
    "known mask": (lambda x: jnp.where(HALF > 0, x, 0), "select_n"),
    "noise": (lambda x: x + jax.random.normal(KEY, x.shape), "add"),
    "dropout": (lambda x: x * jax.random.bernoulli(KEY, 0.5, x.shape), "mul"),
    "triangle": (lambda x: jnp.triu(x[0, ..., 0]), "select_n"),
    "mirror": (lambda x: x + x[:, ::-1], "add"),
    "mirrored output": (lambda x: x[:, ::-1], "output"),
    "transpose": (lambda x: x + x.transpose(0, 2, 1, 3), "add"),
    "one pixel": (lambda x: x + x[:, 5:6], "add"),
    "one pixel, implicitly": (lambda x: lax.mul(x, x[:, :1]), "mul"),
    "one pixel, squeezed": (lambda x: x[:, 5], "output"),
    "one pixel, spread after a squeeze": (lambda x: x + x[:, 5][:, None], "add"),
    "two strides": (lambda x: x[:, ::2] + x[:, :6], "add"),
    "image-dependent place": (
        lambda x: lax.dynamic_slice(x, (0, x[0, 0, 0, 0].astype(int), 0, 0), (1, 4, 4, 4)),
        "dynamic_slice",
    ),
    "image-dependent gather": (lambda x: jnp.take_along_axis(x, x.astype(int), axis=1), "gather"),
    "image-dependent branch": (lambda x: lax.cond(x[0, 0, 0, 0] > 0, jnp.sin, jnp.cos, x), "cond"),
    "image-dependent kernel": (
        lambda x: lax.conv_general_dilated(x, x[0, :3, :3, :, None] * np.ones((1, 1, 1, 4), np.float32), **CONV),
        "conv_general_dilated",
    ),
    "loop until": (lambda x: lax.while_loop(lambda v: v.sum() < 9, lambda v: v + 1, x), "reduce_sum"),
    "loop over space": (lambda x: lax.scan(lambda c, row: (c + row, c), x[:, 0], jnp.moveaxis(x, 1, 0))[1], "add"),
    "loop over space that carries": (lambda x: lax.scan(lambda c, r: (c + 1, r * c), 1.0, x.swapaxes(0, 1))[1], "scan"),
    "loop over space that counts": (
        lambda x: lax.map(lambda row: row[0] * row[1], (jnp.moveaxis(x, 1, 0), jnp.arange(12.0))),
        "scan",
    ),
    "loop over space inside another": (
        lambda x: lax.map(lambda a: lax.map(lambda b: a * b, jnp.moveaxis(x, 1, 0)).sum(0), jnp.moveaxis(x, 1, 0)),
        "mul",
    ),
    "endless loop": (lambda x: lax.fori_loop(0, 9999, lambda i, v: v + jnp.roll(v, 1, 1), x), "scan"),
    "irregular gather": (lambda x: x[:, np.array([0, 1, 5, 2, 7, 3, 11, 4])], "gather"),
    "places that rounding decides": (lambda x: jax.image.resize(x, (1, 30, 12, 4), "nearest"), "gather"),
    "gather backwards": (lambda x: x[:, np.arange(11, -1, -1)], "gather"),
    "written at an unknown place": (
        lambda x: lax.dynamic_update_slice(x, x[:, :2], (0, jax.random.randint(KEY, (), 0, 9), 0, 0)),
        "dynamic_update_slice",
    ),
    "written where the image says": (
        lambda x: lax.dynamic_update_slice(x, x[:, :2], (0, x[0, 0, 0, 0].astype(int), 0, 0)),
        "dynamic_update_slice",
    ),
    "side by side": (lambda x: jnp.tile(x, (1, 2, 1, 1)), "tile"),
    "callback": (lambda x: jax.pure_callback(np.asarray, x, x), "pure_callback"),
    "callback with effects": (lambda x: x + io_callback(lambda: np.float32(0), NUMBER), "io_callback"),
    "callback with effects, in a loop": (
        lambda x: x + lax.fori_loop(0, 1, lambda turn, last: io_callback(lambda: np.float32(0), NUMBER), jnp.zeros(())),
        "scan",
    ),
    "matrix inverse": (lambda x: jnp.linalg.inv(x[..., None] + jnp.eye(4)), "lu"),
    "constant": (lambda x: jnp.ones((1, 12, 12, 3)), "output"),
    "flattened output": (lambda x: x.reshape(-1, 4), "output"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_by_name(name: str) -> None:
    """The primitive, this file's line, a reason and advice."""
    fn, primitive = REFUSED[name]
    with pytest.raises(CertificationError) as caught:
        certify(fn, X)
    refusal = caught.value
    assert refusal.primitive == primitive, refusal
    assert refusal.reason
    assert refusal.advice.endswith(".")
    if primitive != "output":
        file, _, line = refusal.source.rpartition(":")
        assert Path(file).name == Path(__file__).name
        assert int(line) > 0
    assert str(pickle.loads(pickle.dumps(refusal))) == str(refusal)


def test_the_same_without_the_sin_is_certified() -> None:
    """Control: none of the refusals is a matter of the surroundings."""
    for fn in (
        lambda x: jax.nn.standardize(x, axis=-1),
        lambda x: (jax.debug.print("{}", x[0, 0, 0, 0]), x)[1],
        lambda x: x + x[:, ::-1][:, ::-1],
        lambda x: x * np.ones((12, 1, 1), np.float32),
        lambda x: x + jnp.zeros((12, 12, 1)),
        lambda x: x[:, 5:6],
        lambda x: lax.cond(True, jnp.sin, jnp.cos, x),
        lambda x: jnp.concatenate([x, jnp.broadcast_to(np.float32(2), (1, 12, 12, 1))], -1),
    ):
        assert certify(fn, X).period == (1, 1)


class Positional(nn.Module):
    """A network with a positional embedding that starts at zero."""

    start: Callable[..., Any] = nn.initializers.zeros

    @nn.compact
    def __call__(self, x: Any) -> Any:
        return nn.Conv(3, (1, 1))(x) + self.param("position", self.start, (12, 12, 3))


def test_a_parameter_is_unknown_whatever_its_value() -> None:
    """A positional embedding of zeros is refused as a parameter, and accepted as a closed-over array of zeros."""
    net = Positional()
    variables = net.init(jax.random.key(0), jnp.zeros(X.shape))
    with pytest.raises(CertificationError, match="may vary") as caught:
        certify(Partial(net.apply, variables), X)
    assert caught.value.primitive == "add"
    cert = certify(lambda x: net.apply(variables, x), X)
    assert any("position" in constant.name for constant in cert.constants)


def test_an_unknown_parameter_of_a_known_primitive_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A JAX that gives an operation a new option is not trusted to mean the same by it."""
    import dataclasses

    from shiftjax.certifier import _interpret as interpret
    from shiftjax.certifier import _jaxpr

    primitive, true = _jaxpr.primitive("tanh"), interpret.rules()
    blind = dataclasses.replace(true[primitive], named=frozenset())
    monkeypatch.setattr(interpret, "rules", lambda: {**true, primitive: blind})
    with pytest.raises(CertificationError, match="accuracy"):
        certify(jnp.tanh, X)


def test_a_new_parameter_of_a_call_is_refused_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """It could say that the program is run twice, or not at all."""
    import dataclasses

    from shiftjax.certifier import _interpret as interpret
    from shiftjax.certifier import _jaxpr

    primitive, true = _jaxpr.primitive("jit"), interpret.rules()
    blind = dataclasses.replace(true[primitive], inert=true[primitive].inert - {"inline"})
    monkeypatch.setattr(interpret, "rules", lambda: {**true, primitive: blind})
    with pytest.raises(CertificationError, match="inline"):
        certify(jax.jit(lambda x: x + 1), X)


def test_what_nobody_uses_needs_no_proof() -> None:
    """A global mean that is thrown away is not run either."""
    assert certify(lambda x: (x.mean(), x)[1], X).period == (1, 1)


def test_errors_of_the_function_are_its_own() -> None:
    """A shape that the function does not take is no refusal."""
    with pytest.raises(ValueError, match="shapes"):
        certify(lambda x: x + np.ones((5, 7, 1), np.float32), X)
    with pytest.raises(ValueError, match="spatial_axes"):
        certify(jnp.sin, X, spatial_axes=(1, 9))
    with pytest.raises(ValueError, match="`x`"):
        certify(jnp.sin, 3.0)
