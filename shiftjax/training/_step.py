"""One training step: a pure function of the state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from shiftjax._typing import Array, PRNGKeyArray

Sampler = Callable[[PRNGKeyArray], tuple[Array, Array]]


class State(NamedTuple):
    """Everything a run needs to go on: `key` is raw key data, so that all leaves are plain arrays."""

    variables: Any
    optimizer: Any
    step: Any
    key: Any


def initial_state(key: PRNGKeyArray, net: nn.Module, optimizer: optax.GradientTransformation, image: Any) -> State:
    """A fresh state for images of the shape of `image`."""
    init, run = jax.random.split(key)
    variables = dict(net.init(init, jnp.zeros(image.shape, image.dtype)))
    return State(variables, optimizer.init(variables["params"]), jnp.zeros((), jnp.int32), jax.random.key_data(run))


def make_step(
    net: nn.Module,
    optimizer: optax.GradientTransformation,
    sample: Sampler,
    loss: Callable[[Array, Array], Array],
) -> Callable[[State], tuple[State, Array]]:
    """The training step of `net`.

    Args:
        net: its `apply(variables, image, train=True)` gives the embedding.
        sample: from a key, a batch of images and the labels of the net's output window. It is traced into the step, so
            images are made on the device.
        loss: from embedding and labels, a scalar.

    Returns:
        A pure function from a state to the next state and the loss. Which images a step sees depends on the run's key
        and the step's number alone, so a resumed run repeats an undisturbed one.
    """

    def step(state: State) -> tuple[State, Array]:
        image, labels = sample(jax.random.fold_in(jax.random.wrap_key_data(state.key), state.step))
        statistics = {name: value for name, value in state.variables.items() if name != "params"}

        def objective(params: Any) -> tuple[Array, Any]:
            variables = {"params": params, **statistics}
            embedding, updates = net.apply(variables, image, train=True, mutable=list(statistics))
            return loss(embedding, labels), updates

        (value, updates), gradient = jax.value_and_grad(objective, has_aux=True)(state.variables["params"])
        change, optimizer_state = optimizer.update(gradient, state.optimizer, state.variables["params"])
        params = optax.apply_updates(state.variables["params"], change)
        return State({"params": params, **updates}, optimizer_state, state.step + 1, state.key), value

    return step
