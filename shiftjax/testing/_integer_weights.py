"""Integer weights: int32 sums and products wrap around and never round, so that equal results are equal bit for bit."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shiftjax._checks import array, fail, images, shown, single_key, told
from shiftjax._typing import Array, Integer, PRNGKeyArray, Shaped


def injective(x: Shaped[Array, "*shape"]) -> Shaped[Array, "*shape"]:
    """An activation: `x` where x >= 0 and `1 - 5 x` below.

    Piecewise linear like ReLU, but each piece is one-to-one, even in int32, which wraps around. So no unit is dead:
    a network of dead units has a constant output, which satisfies every equality and shows nothing.

    Args:
        x: of any shape, `(*shape)`.

    Returns:
        The activation, `(*shape)`, of the same type.

    Raises:
        ValueError: no array of numbers.
    """
    x = jnp.asarray(array("x", x))
    return jax.lax.select(x < 0, 1 - 5 * x, x)  # traced twice as fast as `where`, and networks apply it often


def integer_variables(key: PRNGKeyArray, net: Any, x: Any) -> Any:
    """Random int32 variables for exact arithmetic.

    Args:
        key: from `jax.random.key`.
        net: a Linen module that computes in the type of its inputs and parameters, like `shiftjax.UNet`.
        x: an image `(batch, *space, channel)`, or a `jax.ShapeDtypeStruct` of its shape; only the shape is used, and
            the network is not run.

    Returns:
        The variables that `net.init(key, x)` would return, but of odd integers from all of int32: multiplication by an
        odd number is one-to-one there, so no product loses a bit.

    Raises:
        ValueError: no key, no network, or an image that it does not take.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from shiftjax import UNet
        >>> net = UNet(2, features=4, factors=(2,), param_dtype=jnp.int32)
        >>> x = jax.ShapeDtypeStruct((1, 20, 20, 1), jnp.int32)
        >>> variables = integer_variables(jax.random.key(0), net, x)
        >>> variables["params"]["head"]["kernel"].dtype
        dtype('int32')
    """
    single_key(key)
    shapes = parameter_shapes(net, x, jnp.int32)
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key), np.uint32))
    return jax.tree.map(lambda leaf: jax.device_put(odd(rng, leaf.shape)), shapes)  # `asarray` compiles per shape


def parameter_shapes(net: Any, x: Any, dtype: Any) -> Any:
    """Shapes and types of the variables of a network for an image, which is not run.

    Raises:
        ValueError: no network, or one that does not take the image.
    """
    if not hasattr(net, "init") or not hasattr(net, "apply"):
        fail("net", "a Linen module", shown(net))
    images("x", x)
    try:
        return jax.eval_shape(net.init, jax.random.key(0), jax.ShapeDtypeStruct(x.shape, dtype))
    except Exception as error:  # whatever the network raises
        fail("x", "an image that the network takes", f"one of shape {tuple(x.shape)} ({told(error)})")


def odd(rng: np.random.Generator, shape: tuple[int, ...]) -> Integer[np.ndarray, "*shape"]:
    """Odd numbers from the whole range; from a small one, some would coincide, and weights no longer be generic."""
    return rng.integers(-(2**31), 2**31 - 1, shape, dtype=np.int32, endpoint=True) | 1
