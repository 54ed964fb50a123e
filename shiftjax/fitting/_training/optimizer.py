"""Adam, with a learning rate that warms up and then falls along a cosine, and running means of the weights.

How many steps there will be is part of the state, not of the program: it can be set once the first steps have shown how
long one takes, and nothing is compiled again.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from shiftjax._typing import Array

WARM_UP = 50  # steps
CLIP = 1.0  # largest norm of the gradient
DECAY = 1e-4  # of the weights
MEMORY = 0.99  # of the running means


class Schedule(NamedTuple):
    """State of the learning rate: steps taken, and steps in all."""

    taken: Array
    total: Array


class Means(NamedTuple):
    """Running means of the parameters, which make better predictions than the parameters of any one step."""

    taken: Array
    params: Any


def optimizer(rate: float) -> optax.GradientTransformation:
    """The optimizer; `rate` is the largest learning rate."""
    steps = [optax.clip_by_global_norm(CLIP), optax.scale_by_adam(), optax.add_decayed_weights(DECAY)]
    return optax.chain(*steps, _scheduled(rate), _means())


def with_total(state: Any, total: int) -> Any:
    """The optimizer's state with another number of steps in all."""
    return (*state[:-2], state[-2]._replace(total=jnp.full_like(state[-2].total, total)), state[-1])


def mean_params(state: Any) -> Any:
    """The running means in an optimizer's state."""
    return state[-1].params


def _scheduled(rate: float) -> optax.GradientTransformation:
    def init(params: Any) -> Schedule:
        return Schedule(jnp.zeros((), jnp.int32), jnp.ones((), jnp.int32))

    def update(updates: Any, state: Schedule, params: Any = None) -> tuple[Any, Schedule]:
        done = jnp.clip(state.taken / state.total, 0, 1)
        warm = jnp.minimum(1.0, (state.taken + 1) / WARM_UP)
        now = -rate * jnp.where(state.taken < WARM_UP, warm, 0.5 * (1 + jnp.cos(jnp.pi * done)))
        return jax.tree.map(lambda u: now * u, updates), Schedule(state.taken + 1, state.total)

    return optax.GradientTransformation(init, update)


def _means() -> optax.GradientTransformation:
    def init(params: Any) -> Means:
        return Means(jnp.zeros((), jnp.int32), jax.tree.map(jnp.copy, params))

    def update(updates: Any, state: Means, params: Any = None) -> tuple[Any, Means]:
        kept = jnp.minimum(MEMORY, (1 + state.taken) / (10 + state.taken))  # short at first
        after = optax.apply_updates(params, updates)
        mean = jax.tree.map(lambda old, new: kept * old + (1 - kept) * new, state.params, after)
        return updates, Means(state.taken + 1, mean)

    return optax.GradientTransformation(init, update)
