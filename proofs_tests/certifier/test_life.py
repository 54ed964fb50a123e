"""`attained` and `minimal`: claimed where a proof is at hand, never where something may cancel or die."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from proofs_tests.certifier.nets import IMAGE, LEVEL, conv, level, pool, up
from shiftjax.certifier import certify

ACTIVATIONS = [
    jax.nn.relu, jax.nn.relu6, jax.nn.elu, jax.nn.selu, jax.nn.celu, jax.nn.gelu, jax.nn.silu, jax.nn.mish,
    jax.nn.softplus, jax.nn.leaky_relu, jax.nn.hard_swish, jax.nn.soft_sign, jax.nn.sigmoid, jax.nn.log_sigmoid,
    jnp.tanh, lambda x: jnp.where(x >= 0, x, 1 - 5 * x),
]  # fmt: skip


def body(p: Any, x: Any) -> Any:
    """Down and up again, 20 px to 14."""
    return up(jax.nn.relu(conv(pool(jax.nn.relu(conv(x, p[0]))), p[1])), p[2])


def minimal(fn: Any) -> bool:
    cert = certify(Partial(fn, LEVEL), IMAGE)
    assert cert.period == (2, 2)
    assert cert.axes[0].minimal == cert.axes[1].minimal
    return cert.axes[0].minimal


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_minimal_with_every_activation(activation: Any) -> None:
    """All of `jax.nn`, whatever they are made of."""
    assert minimal(lambda p, x: level(p, x, activation))


ALIVE = {
    "as it is": body,
    "residual": lambda p, x: body(p, x) + x[:, 3:17, 3:17],
    "pooled by slices": lambda p, x: up(conv(jnp.maximum(x[:, ::2], x[:, 1::2])[:, :, ::2], p[0]), p[2]),
    "pooled by reshape": lambda p, x: up(conv(x.reshape(1, 10, 2, 10, 2, 1).max((2, 4)), p[0]), p[2]),
    "averaged": lambda p, x: up(conv(x.reshape(1, 10, 2, 10, 2, 1).mean((2, 4)), p[0]), p[2]),
    "nearest": lambda p, x: conv(jnp.repeat(jnp.repeat(pool(conv(x, p[0])), 2, 1), 2, 2), p[1]),
}
NOT_CLAIMED = {
    "minus itself": lambda p, x: body(p, x) - body(p, x),
    "times zero": lambda p, x: body(p, x) * 0,
    "to the power of zero": lambda p, x: body(p, x) ** 0,
    "always dead": lambda p, x: jax.nn.relu(-jax.nn.relu(body(p, x))),
    "clamped away": lambda p, x: jnp.minimum(jax.nn.relu(body(p, x)), -1.0),
    "only its sign twice": lambda p, x: jnp.sign(jnp.sign(body(p, x)) * 0.0),
    "added and taken away": lambda p, x: (body(p, x) + conv(x, p[0])[:, 2:16, 2:16]) - body(p, x),
    "rows of a stack that cancel": lambda p, x: jax.lax.scan(
        lambda c, row: (c + row, None), 0 * body(p, x), jnp.stack([body(p, x), -body(p, x)])
    )[0],
    "channels that are never positive": lambda p, x: (
        lambda y: jnp.maximum(jnp.minimum(y, 0)[..., :1], jnp.minimum(-y, 0)[..., :1])
    )(body(p, x)),
    "channels side by side": lambda p, x: (
        lambda y: jnp.maximum(y[..., : y.shape[-1] // 2], y[..., y.shape[-1] // 2 :])
    )(jnp.concatenate([jnp.minimum(body(p, x), 0), jnp.minimum(-body(p, x), 0)], -1)),
    "never the larger": lambda p, x: jnp.maximum(x[:, 3:17, 3:17], x[:, 3:17, 3:17] - jnp.exp(body(p, x))),
    "below what is never negative": lambda p, x: jnp.maximum(
        jax.nn.relu(conv(x, p[0])[:, 2:16, 2:16]), -jax.nn.relu(body(p, x))
    ),
    "masked weights": lambda p, x: up(conv(pool(conv(x, p[0])), p[1] * np.float32(0)), p[2]),
    "positive weights of a rectified value, rectified": lambda p, x: jax.nn.relu(
        -up(jax.nn.relu(conv(pool(x), p[0])), jnp.abs(p[2]))
    ),
}


@pytest.mark.parametrize("name", ALIVE)
def test_claimed_where_it_is_proved(name: str) -> None:
    """Every way to pool and to join that the library and its users have."""
    assert minimal(ALIVE[name])


@pytest.mark.parametrize("name", NOT_CLAIMED)
def test_not_claimed_where_values_may_vanish(name: str) -> None:
    """Some of these are constant or of smaller period: a claim would be wrong."""
    assert not minimal(NOT_CLAIMED[name])


def test_the_claim_is_wrong_for_some_of_them() -> None:
    """Control: a network that adds and takes away its only pooled part has period 1."""
    rng = np.random.default_rng(0)
    p = [jnp.asarray(rng.normal(size=s.shape), jnp.float32) for s in LEVEL]
    long = rng.normal(size=(1, 21, 21, 1)).astype(np.float32)
    one, two = long[:, :-1, :-1], long[:, 1:, 1:]
    for name, same in (("added and taken away", True), ("never the larger", True), ("as it is", False)):
        fn = {**NOT_CLAIMED, **ALIVE}[name]
        gap = np.abs(fn(p, one)[:, 1:, 1:] - fn(p, two)[:, :-1, :-1]).max()
        assert (gap < 1e-4) == same, (name, gap)
