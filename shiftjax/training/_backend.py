"""How many steps of many replicas are run: the one place that depends on the backend.

An accelerator runs a chunk of steps as one `lax.scan`, with replicas side by side under `vmap`. XLA's CPU backend
compiles convolutions in a loop, and batched kernels, to code that is several times slower than single calls, so on a
CPU every step is a call of its own and replicas take turns. Both do the same training.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from shiftjax._checks import fail, shown
from shiftjax._typing import Array
from shiftjax.training._step import State

Step = Callable[[State], tuple[State, Array]]
Chunk = Callable[[State, int], tuple[State, Array]]  # (states, n) -> states, losses (replica, n)


def chunked(step: Step) -> Chunk:
    """From one step of one state to n steps of stacked states."""
    return _calls(step) if jax.default_backend() == "cpu" else _scan(step)


def stack(states: Sequence[State]) -> State:
    """Stacks the states of replicas into the one that `train` takes.

    Args:
        states: of one network, one per replica.

    Returns:
        A state whose leaves have a leading replica axis, `(replica, *shape)`.

    Raises:
        ValueError: no states, or those of several networks.
    """
    if not isinstance(states, list | tuple) or not states or not all(hasattr(state, "variables") for state in states):
        fail("states", "a list of states, one per replica", shown(states))
    try:
        chex.assert_trees_all_equal_shapes_and_dtypes(states[0], *states)  # chex wants two trees at least
    except AssertionError as error:
        raise ValueError("`states`: expected states of one network, found other shapes or types.") from error
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)


def unstack(states: State) -> list[State]:
    """The inverse of `stack`.

    Args:
        states: stacked ones; every leaf is `(replica, *shape)`.

    Returns:
        One state per replica.

    Raises:
        ValueError: anything but stacked states.
    """
    check_stacked(states)
    chex.assert_tree_shape_prefix(states, states.step.shape)
    return [jax.tree.map(lambda leaf, r=r: leaf[r], states) for r in range(len(states.step))]


def check_stacked(states: Any) -> None:
    """Refuses what `stack` has not made."""
    if not hasattr(states, "variables") or not hasattr(states, "step"):
        fail("states", "stacked states of all replicas", shown(states), "pass `stack([state])`")
    if np.ndim(states.step) != 1:
        fail("states", "stacked states of all replicas", "a single state", "pass `stack([state])`")


def _calls(step: Step) -> Chunk:
    compiled = jax.jit(step, donate_argnums=0)

    def run(states: State, steps: int) -> tuple[State, Array]:
        after, losses = [], []
        for state in unstack(states):
            of_replica = []
            for _ in range(steps):
                state, loss = compiled(state)
                of_replica.append(loss)
            after.append(state)
            losses.append(jnp.stack(of_replica))
        return stack(after), jnp.stack(losses)

    return run


def _scan(step: Step) -> Chunk:
    @partial(jax.jit, static_argnums=1, donate_argnums=0)
    def run(states: State, steps: int) -> tuple[State, Array]:
        def of_replica(state: State) -> tuple[State, Array]:
            return lax.scan(lambda carry, _: step(carry), state, None, length=steps)

        states, losses = jax.vmap(of_replica)(states)
        chex.assert_shape(losses, (len(states.step), steps))
        return states, losses

    return run
