"""The network that is trained, and the window that it is trained on, from its certificate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from shiftjax._checks import fail, shown
from shiftjax.nets import UNet
from shiftjax.tiling import plan_tiles

EMBEDDING = 4  # channels of the embedding
FEATURES = {1: 16, 2: 16, 3: 8}
HALO = {2: 20, 3: 44, 4: 92}  # input pixels that a valid U-Net of so many levels sees around each pixel
LEVELS = {1: 4, 2: 4, 3: 2}  # at most: a step on a window of a deeper network takes seconds in 3-D
WINDOW = {1: (128, 512), 2: (96, 192), 3: (16, 40)}  # least and largest output windows, in pixels per axis
OBJECTS = {1: 4, 2: 4, 3: 2}  # objects that a window should hold along an axis
SEARCHED = 256  # input sizes that are tried until a network takes one


class Window(NamedTuple):
    """A training window; sizes in pixels per spatial axis.

    Attributes:
        input: what is read.
        output: what the loss sees, whole periods, and at least two of them.
        before: from the first pixel read to the first of the output.
        crop: start and stop of the output window in the network's output.
        period: of the network.
    """

    input: tuple[int, ...]
    output: tuple[int, ...]
    before: tuple[int, ...]
    crop: tuple[tuple[int, int], ...]
    period: tuple[int, ...]


def default_network(extent: Sequence[float], space: Sequence[int]) -> UNet:
    """A valid U-Net that sees a whole object around each of its pixels, and leaves two periods in the smallest image.

    In 3-D it sees 20 pixels to each side, and no more.

    Args:
        extent: of a typical object, in pixels per axis.
        space: the smallest sizes among the images, in pixels per axis.
    """
    most = LEVELS[len(space)]
    levels = [next((n for n, halo in HALO.items() if halo >= size or n == most), most) for size in extent]
    levels = [max(0, min(wish, int(size).bit_length() - 2)) for wish, size in zip(levels, space, strict=True)]
    depth = max(1, *levels)
    factors = tuple(tuple(2 if level < n else 1 for n in levels) for level in range(depth))
    return UNet(1 + EMBEDDING, ndim=len(levels), features=FEATURES[len(levels)], factors=factors)


def check_network(net: Any) -> None:
    """Refuses what is not a Linen module."""
    if not isinstance(net, nn.Module):
        mend = "its first output channel becomes the foreground, the others the embedding"
        fail("net", "a Linen module of images, such as `shiftjax.UNet(5)`", shown(net), mend)


def shapes(net: nn.Module, ndim: int, channels: int) -> Any:
    """Shapes of the variables, found at the smallest image that the network takes.

    Raises:
        ValueError: a network that takes no images of this kind.
    """
    key, error = jax.eval_shape(lambda: jax.random.key(0)), None
    for size in _sizes(net, ndim):
        image = jax.ShapeDtypeStruct((1, *size, channels), jnp.float32)
        try:
            variables = jax.eval_shape(net.init, key, image)
            output = jax.eval_shape(net.apply, variables, image)
            if 0 in getattr(output, "shape", ()):
                continue
        except Exception as raised:  # most sizes are illegal to most networks
            error = raised
            continue
        if getattr(output, "ndim", 0) != ndim + 2 or output.shape[-1] < 2:
            shape = shown(getattr(output, "shape", output))
            fail("net", f"an output (batch, *space, channel) of {ndim} axes and 2 channels or more", shape)
        return variables
    reason = " ".join(str(error).split())[:200]
    return fail("net", f"a network of images with {ndim} spatial axes and {channels} channels", f"none ({reason})")


def _sizes(net: nn.Module, ndim: int) -> Iterator[tuple[int, ...]]:
    """Sizes of images that a network may take, the smallest first."""
    if isinstance(net, UNet):
        yield tuple(axis[0][0] for axis in net.legal_sizes(1))
    else:
        yield from ((n,) * ndim for n in range(1, SEARCHED))


def window_for(net: nn.Module, variables: Any, channels: int, wish: Sequence[int], space: Sequence[int]) -> Window:
    """The training window nearest to a wished output size, from the network's certificate.

    Args:
        net: the network.
        variables: of it, or their shapes.
        channels: of an image.
        wish: output pixels per axis.
        space: the smallest sizes among the images, which the output must fit into.

    Raises:
        ValueError: two periods do not fit into the smallest image.
        CertificationError: the network cannot be certified.
    """
    fn = jax.tree_util.Partial(net.apply, variables)
    plan = plan_tiles(fn, (1, *space, channels), tile=tuple(map(min, wish, space)))
    period = plan.period
    # A window of one period sees no pair of neighbours across its border, so that seams would be learnt there.
    least = tuple(2 * p if p > 1 else 1 for p in period)
    if any(n < size for n, size in zip(space, least, strict=True)):
        mend = "give larger images, or a network of smaller period by `net=`"
        fail("images", f"at least {least} px, two periods of the network", f"an image of {tuple(space)} px", mend)
    output = tuple(max(size, min(w, n) // p * p) for w, n, p, size in zip(wish, space, period, least, strict=True))
    if output != plan.tile_output:
        plan = plan_tiles(fn, (1, *output, channels), tile=output)
    before = tuple(width[0] for width in plan.pad_width[1:-1])
    return Window(plan.tile_input, plan.tile_output, before, plan.crops[0], plan.period)


def window_wish(extent: Sequence[float]) -> tuple[int, ...]:
    """Output pixels per axis that hold several objects."""
    ndim = len(extent)
    least, most = WINDOW[ndim]
    return tuple(int(min(most, max(least, OBJECTS[ndim] * size))) for size in extent)
