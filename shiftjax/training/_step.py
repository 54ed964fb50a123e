"""One training step: a pure function of the state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from shiftjax._checks import fail, function, images, room, shown, single_key, told
from shiftjax._typing import Array, PRNGKeyArray

SampleBatch = Callable[[PRNGKeyArray], tuple[Array, Array]]  # from a key, images and the labels of the output window


class State(NamedTuple):
    """The complete state of a run; all leaves are plain arrays, so that it can be saved and stacked.

    Attributes:
        variables: of the network: `"params"`, and the statistics of its norms if it has any.
        optimizer: the state of the optimizer.
        step: how many steps were taken, `()`, or `(replica,)` in stacked states.
        key: raw data of the random key that the batches of the run come from.
    """

    variables: Any
    optimizer: Any
    step: Any
    key: Any


def initial_state(key: PRNGKeyArray, net: nn.Module, optimizer: optax.GradientTransformation, image: Any) -> State:
    """A fresh state.

    Args:
        key: draws the parameters and, later, the batches.
        net: a Linen module.
        optimizer: from optax.
        image: an image `(batch, *space, channel)`, or a `jax.ShapeDtypeStruct` of its shape.

    Returns:
        The state before the first step.

    Raises:
        ValueError: no key, no network, no optimizer, or an image that the network does not take.
    """
    single_key(key)
    data = [jax.eval_shape(lambda k=k: jax.random.key_data(k)) for k in (key, jax.random.key(0))]
    if data[0].shape != data[1].shape:  # the state holds raw data, of which a key of the default kind is made again
        fail("key", "a random key of JAX's default kind", shown(key), "make one with jax.random.key(seed)")
    check_net(net, optimizer)
    images("image", image)
    room("image", image.shape, np.dtype(image.dtype).itemsize, copies=2)
    init, run = jax.random.split(key)
    try:
        variables = dict(net.init(init, jnp.zeros(image.shape, image.dtype)))
    except Exception as error:  # whatever the network raises
        fail("image", "an image that the network takes", f"one of shape {tuple(image.shape)} ({told(error)})")
    return State(variables, optimizer.init(variables["params"]), jnp.zeros((), jnp.int32), jax.random.key_data(run))


def check_net(net: Any, optimizer: Any) -> None:
    """Refuses what is not a Linen module and an optimizer of optax."""
    if not isinstance(net, nn.Module):
        fail("net", "a Linen module", shown(net))
    if not isinstance(optimizer, optax.GradientTransformation):
        fail("optimizer", "an optimizer of optax", shown(optimizer))


def make_step(
    net: nn.Module,
    optimizer: optax.GradientTransformation,
    sample: SampleBatch,
    loss: Callable[[Array, Array], Array],
) -> Callable[[State], tuple[State, Array]]:
    """The training step of `net`.

    Args:
        net: its `apply(variables, image, train=True)` gives the embedding `(batch, *out, channel)`.
        optimizer: from optax.
        sample: from a key, images `(batch, *space, channel)` and the labels `(batch, *out)` of the net's output window.
            It is traced into the step, so images are made on the device.
        loss: from embedding and labels, a scalar.

    Returns:
        A pure function from a state to the next state and the loss. The images of a step depend only on the run's key
        and the step's number, so a resumed run repeats an undisturbed one.

    Raises:
        ValueError: no network, no optimizer or no function.
    """
    check_net(net, optimizer)
    function("sample", sample)
    function("loss", loss)

    def step(state: State) -> tuple[State, Array]:
        image, labels = sample(jax.random.fold_in(jax.random.wrap_key_data(state.key), state.step))
        # Running means of norms, say: not trained by gradients but replaced by the forward pass.
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
