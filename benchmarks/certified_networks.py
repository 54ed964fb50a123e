"""What does the certifier say of networks and image operations that were not written for it?

Haiku (`dm-haiku`), PIX (`dm-pix`) and Equinox are asked where they are installed:
`pip install dm-haiku dm-pix equinox jmp`. Their networks are taken as they come.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from jax.tree_util import Partial

from shiftjax.certifier import Certificate, CertificationError, certify

Entry = tuple[str, Callable[[Any], Any], tuple[int, ...], tuple[int, ...] | None]


def optional(name: str) -> Any | None:
    """A library, if it is installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def notebook_unet(kernels: list[Any], x: Any) -> Any:
    """Plain lax in the sizes of the paper's notebooks: four levels, two valid 3x3 convolutions per pass."""
    left = iter(kernels)

    def conv(v: Any) -> Any:
        layout = ("NHWC", "HWIO", "NHWC")
        return lax.conv_general_dilated(v, next(left), (1, 1), "VALID", dimension_numbers=layout)

    skips = []
    for _ in range(4):
        x = jax.nn.relu(conv(jax.nn.relu(conv(x))))
        skips.append(x)
        x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    x = jax.nn.relu(conv(jax.nn.relu(conv(x))))
    for skip in reversed(skips):
        x = lax.conv_transpose(x, next(left), (2, 2), "VALID")
        cut = (skip.shape[1] - x.shape[1]) // 2
        x = jnp.concatenate([skip[:, cut : cut + x.shape[1], cut : cut + x.shape[2]], x], -1)
        x = jax.nn.relu(conv(jax.nn.relu(conv(x))))
    return conv(x)


def notebook_kernels(base: int = 3) -> list[jax.ShapeDtypeStruct]:
    sizes = [
        (3, 3, a, b) for k in range(5) for a, b in ((base * 2 ** (k - 1) if k else 1, base * 2**k), (base * 2**k,) * 2)
    ]
    for k in reversed(range(4)):
        c = base * 2**k
        sizes += [(2, 2, 2 * c, c), (3, 3, 2 * c, c), (3, 3, c, c)]
    return [jax.ShapeDtypeStruct(size, jnp.float32) for size in [*sizes, (1, 1, base, 3)]]


class LinenBlock(nn.Module):
    """The encoder of Flax's image classification example: a batch-normalised bottleneck, then stride 2."""

    @nn.compact
    def __call__(self, x: Any) -> Any:
        for features, stride in ((32, 1), (64, 2), (64, 1), (128, 2)):
            y = nn.Conv(features, (3, 3), (stride, stride), use_bias=False)(x)
            x = nn.relu(nn.BatchNorm(use_running_average=True)(y))
        return x


class NnxNet(nnx.Module):
    """Convolutions and group normalisation, as in many restoration networks."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.first = nnx.Conv(3, 8, (3, 3), rngs=rngs)
        self.norm = nnx.GroupNorm(8, num_groups=2, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        return nnx.gelu(self.norm(self.first(x)))


def flax_networks() -> Iterator[Entry]:
    yield "hand-written lax, notebook sizes", Partial(notebook_unet, notebook_kernels()), (1, 236, 236, 1), None
    x = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    variables = jax.eval_shape(LinenBlock().init, jax.random.key(0), x)
    yield "Linen encoder, batch norm", Partial(LinenBlock().apply, variables), x.shape, None
    graph, state = nnx.split(NnxNet(nnx.Rngs(0)))
    yield "NNX, group norm", Partial(lambda s, v: nnx.merge(graph, s)(v), state), x.shape, None


def haiku_networks(hk: Any) -> Iterator[Entry]:
    x = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)

    def network(make: Callable[..., Any]) -> Partial:
        training, testing = (
            hk.without_apply_rng(hk.transform_with_state(lambda v, t=t: make(v, t))) for t in (True, False)
        )
        params, state = jax.eval_shape(training.init, jax.random.key(0), x)
        return Partial(lambda p, s, v: testing.apply(p, s, v)[0], params, state)

    def trunk(v: Any, t: bool) -> Any:
        net = hk.nets.ResNet18(10)
        v = jax.nn.relu(net.initial_batchnorm(net.initial_conv(v), t))
        v = hk.max_pool(v, (1, 3, 3, 1), (1, 2, 2, 1), "SAME")
        for group in net.block_groups[:2]:
            v = group(v, t, False)
        return v

    yield "Haiku ResNet-18", network(lambda v, t: hk.nets.ResNet18(10)(v, t)), x.shape, None
    yield "Haiku ResNet-18, first two groups", network(trunk), x.shape, None
    yield "Haiku MobileNetV1", network(lambda v, t: hk.nets.MobileNetV1(num_classes=10)(v, t)), x.shape, None


def pix_operations(pix: Any) -> Iterator[Entry]:
    shape, space = (64, 64, 3), (0, 1)
    yield "PIX gaussian_blur", lambda x: pix.gaussian_blur(x, 1.5, kernel_size=9), shape, space
    yield "PIX ssim map", lambda x: pix.ssim(x, x * x, return_map=True), shape, space
    yield "PIX adjust_contrast", lambda x: pix.adjust_contrast(x, 0.3), shape, space


def equinox_networks(eqx: Any) -> Iterator[Entry]:
    one, two, three = jax.random.split(jax.random.key(0), 3)
    net = eqx.nn.Sequential(
        [
            eqx.nn.Conv2d(3, 8, 3, key=one),
            eqx.nn.Lambda(jax.nn.relu),
            eqx.nn.AvgPool2d(2, 2),
            eqx.nn.Conv2d(8, 8, 3, dilation=2, key=two),
            eqx.nn.Lambda(jax.nn.silu),
            eqx.nn.ConvTranspose2d(8, 4, 2, 2, key=three),
        ]
    )
    yield "Equinox Sequential", net, (3, 64, 64), (1, 2)


Function = Callable[[Any], Any]


def network(x: Any) -> Any:
    """Pooling, a window of three, and upsampling, along all spatial axes: of period 2, and the image's size."""
    space = tuple(range(1, x.ndim - 1))
    window = (1, *(2 for _ in space), 1)
    y = lax.reduce_window(x, -jnp.inf, lax.max, window, window, "VALID")
    for k in space:
        y = jnp.roll(y, 1, axis=k) + 2 * y - jnp.roll(y, -1, axis=k)
    for k in space:
        y = jnp.repeat(y, 2, axis=k)
    return y


def mirrored(fn: Function) -> Function:
    """Test-time augmentation by all turns and mirror images."""

    def augmented(x: Any) -> Any:
        total = jnp.zeros_like(x)
        for turns in range(4):
            y = jnp.rot90(x, turns, axes=(1, 2))
            total += jnp.rot90(fn(y), -turns, axes=(1, 2)) + jnp.rot90(fn(y[:, ::-1])[:, ::-1], -turns, axes=(1, 2))
        return total / 8

    return augmented


def window_attention(x: Any, size: int = 4) -> Any:
    """Self-attention within windows, by einsum, as in Swin transformers."""
    b, h, w, c = x.shape
    cut = x.reshape(b, h // size, size, w // size, size, c).transpose(0, 1, 3, 2, 4, 5)
    y = cut.reshape(-1, size * size, c)
    weights = jax.nn.softmax(jnp.einsum("nqc,nkc->nqk", y, y), -1)
    out = jnp.einsum("nqk,nkc->nqc", weights, y)
    return out.reshape(b, h // size, w // size, size, size, c).transpose(0, 1, 3, 2, 4, 5).reshape(x.shape)


def unpooled(x: Any) -> Any:
    """Max-unpooling: what was pooled goes back to where it was largest."""
    window = (1, 2, 2, 1)
    pooled, unpool = jax.vjp(lambda v: lax.reduce_window(v, -jnp.inf, lax.max, window, window, "VALID"), x)
    return unpool(2 * pooled)[0]


def filled(x: Any) -> Any:
    """An output that a loop fills row by row."""
    return lax.fori_loop(0, x.shape[1], lambda i, y: y.at[:, i].set(jnp.tanh(x[:, i])), jnp.zeros_like(x))


def folded(x: Any) -> Any:
    """A 2-D network over the planes of a stack."""
    return network(x.reshape(-1, *x.shape[2:])).reshape(x.shape)


def blocks(x: Any) -> Any:
    y = network(x)
    return jnp.zeros_like(y).at[:, :32].set(y[:, :32]).at[:, 32:].set(y[:, 32:])


def by_rows(fn: Function, x: Any) -> Any:
    return jnp.moveaxis(lax.map(fn, jnp.moveaxis(x, 1, 0)), 0, 1)


def printing(x: Any) -> Any:
    jax.debug.print("{}", x[0, 0, 0, 0])
    return network(x)


def constructs() -> Iterator[Entry]:
    """What people write besides convolutions."""
    shape, stack = (1, 64, 48, 4), (1, 6, 64, 48, 4)
    mesh = jax.make_mesh((1,), ("i",), axis_types=(AxisType.Auto,))
    spec = PartitionSpec(None, "i")
    tiled = Partial(lambda p, x: network(x) + jnp.tile(p, (1, 16, 12, 1)), jnp.ones((1, 4, 4, 4)))
    found: dict[str, Function] = {
        "test-time augmentation, 8 views": mirrored(network),
        "mirror beside the image": lambda x: x + x[:, ::-1],
        "channels in order of size": lambda x: jnp.take_along_axis(x, jnp.argsort(network(x), -1), -1),
        "output and a global mean": lambda x: (network(x), x.mean()),
        "`lax.map` over rows": lambda x: by_rows(network, x),
        "Python loop over rows": lambda x: jnp.stack([network(x[:, i]) for i in range(x.shape[1])], 1),
        "loop that fills the output": filled,
        "blocks set by index": blocks,
        "border set to zero": lambda x: network(x).at[:, :1].set(0),
        "window attention by einsum": window_attention,
        "max-unpooling": unpooled,
        "parameters tiled over the image": tiled,
        "product with zero, plus one": lambda x: network(x) * jnp.cumsum(x * 0 + 1, axis=-1),
        "sharding constraint": lambda x: lax.with_sharding_constraint(network(x), NamedSharding(mesh, PartitionSpec())),
        "`shard_map` over one device": jax.shard_map(network, mesh=mesh, in_specs=spec, out_specs=spec),
        "debug print": printing,
        "bilinear upsampling": lambda x: jax.image.resize(x[:, ::2, ::2], x.shape, "bilinear"),
    }
    for name, fn in found.items():
        yield name, fn, shape, None
    yield "2-D network over planes", folded, stack, None
    yield "2-D network over one plane", folded, (1, 1, *shape[1:]), None


def entries() -> Iterator[Entry]:
    yield from flax_networks()
    yield from constructs()
    libraries = {"haiku": haiku_networks, "dm_pix": pix_operations, "equinox": equinox_networks}
    for name, networks in libraries.items():
        if (library := optional(name)) is not None:
            yield from networks(library)


def verdict(fn: Callable[[Any], Any], shape: tuple[int, ...], space: tuple[int, ...] | None) -> str:
    try:
        cert = certify(fn, jax.ShapeDtypeStruct(shape, jnp.float32), spatial_axes=space)
    except CertificationError as refusal:
        file, _, line = refusal.source.rpartition(":")
        reason = refusal.reason.split(" (operands")[0]
        return f"refused: `{refusal.primitive}` at {Path(file).name}:{line}, {reason} | | | |"
    return _proved(cert)


def _proved(cert: Certificate) -> str:
    axis = cert.outputs[0].axes[0]
    exact = axis.exact[1] - axis.exact[0]
    minimal = ", minimal" if axis.minimal else ""
    left_out = f", without {len(cert.left_out)} output" if cert.left_out else ""
    return f"certified{left_out} | {axis.period}{minimal} | {axis.stride} | {axis.field} | {exact} of {axis.out}"


def main() -> None:
    warnings.simplefilter("ignore")
    print("| network | input | verdict | period, px | stride | receptive field, px | exact output |")
    print("|---|---|---|---|---|---|---|")
    for name, fn, shape, space in entries():
        size = "x".join(map(str, shape))
        print(f"| {name} | {size} | {verdict(fn, shape, space)} |", flush=True)


if __name__ == "__main__":
    main()
