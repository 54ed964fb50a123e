"""How many steps of many replicas run: the one place that knows what each backend likes.

An accelerator runs a chunk of steps as one `lax.scan`, replicas side by side under `vmap`. XLA's CPU backend compiles
convolutions in a loop, and batched kernels, to code that is several times slower than single calls, so on a CPU every
step is a call of its own and replicas take turns. Both do the same training.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from shiftjax._typing import Array
from shiftjax.training._step import State

Chunk = Callable[[State, int], tuple[State, Array]]


def chunked(step: Callable[[State], tuple[State, Array]]) -> Chunk:
    """From one step of one state to n steps of stacked states: `(states, n) -> states, losses (replica, n)`."""
    return _calls(step) if jax.default_backend() == "cpu" else _scan(step)


def stack(states: list[State]) -> State:
    """States of all replicas as one, with a leading replica axis."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)


def unstack(states: State) -> list[State]:
    """The states of the replicas, one by one."""
    return [jax.tree.map(lambda leaf, r=r: leaf[r], states) for r in range(len(states.step))]


def _calls(step: Callable[[State], tuple[State, Array]]) -> Chunk:
    compiled = jax.jit(step, donate_argnums=0)

    def run(states: State, steps: int) -> tuple[State, Array]:
        after, losses = [], []
        for state in unstack(states):
            values = []
            for _ in range(steps):
                state, value = compiled(state)
                values.append(value)
            after.append(state)
            losses.append(jnp.stack(values))
        return stack(after), jnp.stack(losses)

    return run


def _scan(step: Callable[[State], tuple[State, Array]]) -> Chunk:
    @partial(jax.jit, static_argnums=1, donate_argnums=0)
    def run(states: State, steps: int) -> tuple[State, Array]:
        def many(state: State) -> tuple[State, Array]:
            return lax.scan(lambda carry, _: step(carry), state, None, length=steps)

        return jax.vmap(many)(states)

    return run
