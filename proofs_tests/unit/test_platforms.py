"""Every public function of arrays lowers for GPUs and TPUs, here, where there are none, and in no form for CPUs."""

import ast
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import shiftjax as sj
from shiftjax._streams import Stream
from shiftjax.clustering import _nearest
from shiftjax.freezing import _pass
from shiftjax.nets import operators
from shiftjax.tiling._compiled import CompiledFunction
from shiftjax.tiling._streaming import call
from shiftjax.training import initial_state, make_step

PLATFORMS = ["cuda", "tpu"]
KEY = jax.random.key(0)
LABELS = np.repeat(np.arange(8), 8).reshape(1, 8, 8).astype(np.int32)
EMBEDDING = np.random.default_rng(0).normal(size=(1, 8, 8, 2)).astype(np.float32)
IMAGE = np.ones((1, 8, 8, 1), np.float32)


def exported(fn, *arguments, platforms=PLATFORMS):
    """The program for some platforms, as text."""
    return jax.export.export(jax.jit(fn), platforms=platforms)(*arguments).mlir_module()


def abstract(tree):
    return jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), tree)


def network(**options):
    """A network, and what it is applied to, in shapes alone."""
    net = sj.UNet(2, features=17, factors=(2,), **options)
    x = jax.ShapeDtypeStruct((1, *(axis[0][0] for axis in net.legal_sizes(24)), 1), jnp.float32)
    return net, jax.eval_shape(net.init, KEY, x), x


def squared(net, variables, x):
    return jnp.sum(net.apply(variables, x) ** 2)


NETS: dict[str, dict[str, Any]] = {
    "plane": {},
    "plane, same": {"padding": "SAME", "norm": "group"},
    "plane, nearest": {"upsample": "nearest", "crop": "every"},
    "volume": {"ndim": 3},
    "volume, same": {"ndim": 3, "padding": "SAME"},
    "volume, another activation": {"ndim": 3, "activation": lambda y: jnp.maximum(y, 0.1 * y)},
}


@pytest.mark.parametrize("options", NETS.values(), ids=NETS)
@pytest.mark.parametrize("platform", PLATFORMS)
def test_networks_are_plain_convolutions(options, platform):
    """One for each layer, without loops and without the row of padding that CPUs like; gradients have two more."""
    net, variables, x = network(**options)
    layers = sum("kernel" in params for params in variables["params"].values()) - 1  # upsampling is a product
    layers += options.get("upsample") == "nearest"
    text = exported(net.apply, variables, x, platforms=[platform])
    assert text.count("stablehlo.convolution") == layers
    assert "stablehlo.while" not in text
    assert "padding = dense<[[0, 1]" not in text
    gradient = exported(jax.grad(partial(squared, net)), variables, x, platforms=[platform])
    assert gradient.count("stablehlo.convolution") <= 3 * layers
    assert "stablehlo.while" not in gradient


@pytest.mark.parametrize("name", ["plane", "volume"])
def test_control_a_cpu_has_forms_of_its_own(name):
    net, variables, x = network(**NETS[name])
    plain, on_cpu = (exported(net.apply, variables, x, platforms=[platform]) for platform in ("cuda", "cpu"))
    assert on_cpu.count("stablehlo.slice") > plain.count("stablehlo.slice")
    assert ("stablehlo.while" in on_cpu) == (net.ndim == 3)


def test_a_program_for_several_platforms_runs_here():
    net, _, x = network(ndim=3)
    image = jax.random.normal(KEY, x.shape)
    variables = net.init(KEY, image)
    program = jax.export.export(jax.jit(net.apply), platforms=["cpu", "cuda", "tpu"])(abstract(variables), x)
    np.testing.assert_allclose(program.call(variables, image), jax.jit(net.apply)(variables, image), atol=1e-5)


def training_step():
    net = sj.UNet(2, features=2, factors=(2,), convs=1)
    size, output, offset = net.legal_sizes(16)[0][0]
    window = slice(offset, offset + output)

    def sample(key):
        image, labels = sj.synthetic.disc_lattice((size, size), pitch=8, radius=3)
        image, labels = sj.synthetic.elastic(key, image, labels, spacing=4, jitter=0.2)
        image = sj.synthetic.noise(key, image, variance=0.1)
        return image, sj.relabel(labels[:, window, window])

    loss = lambda y, labels: sj.discriminative_loss(y, labels, max_instances=9)[0]  # noqa: E731
    image = jax.ShapeDtypeStruct((1, size, size, 1), jnp.float32)
    states = jax.eval_shape(partial(initial_state, net=net, optimizer=optax.adam(1e-3), image=image), KEY)
    return make_step(net, optax.adam(1e-3), sample, loss), states


STREAM = Stream(lambda x: (x[:, 1:-1] + x[:, :-2]) * 2, jax.ShapeDtypeStruct((1, 10, 8, 1), jnp.float32), 0, (0,))
KERNEL, VOLUME = np.ones((3, 3, 1, 17), np.float32), np.ones((1, 9, 9, 9, 1), np.float32)
FUNCTIONS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "convolve": (operators.convolve, (IMAGE, KERNEL)),
    "max_pool": (partial(operators.max_pool, factors=(2, 2)), (IMAGE,)),
    "crop_copy": (lambda x: operators.crop_copy(x, (1, 1, 1), (4, 4, 4)), (VOLUME,)),
    "discriminative_loss": (partial(sj.discriminative_loss, max_instances=8), (EMBEDDING, LABELS)),
    "its gradient": (
        jax.grad(lambda x, y: sj.discriminative_loss(x, y, max_instances=8)[0]),
        (EMBEDDING, LABELS),
    ),
    "mean_shift": (partial(sj.mean_shift, bandwidth=0.5, seeds=10), (EMBEDDING,)),
    "relabel": (sj.relabel, (LABELS,)),
    "elastic": (partial(sj.synthetic.elastic, spacing=4, jitter=0.2), (KEY, IMAGE, LABELS)),
    "noise": (partial(sj.synthetic.noise, variance=0.1), (KEY, IMAGE)),
    "random_crop": (partial(sj.synthetic.random_crop, size=4), (KEY, IMAGE, LABELS)),
    "disc_lattice": (lambda: sj.synthetic.disc_lattice((20, 20), pitch=10, radius=3), ()),
    "nuclei": (partial(sj.synthetic.nuclei, shape=(40, 40), count=2, radius=5), (KEY,)),
    "nearest code": (
        partial(_nearest._nearest, chunks=(8, 32)),
        (np.ones((32, 2), np.float32), np.ones((3, 2), np.float32), np.zeros(2, np.float32), np.asarray(True)),
    ),
    "tiles": (lambda x: CompiledFunction.of(jnp.sin)(x, (((1, 4), (2, 5)),), (0,)), (IMAGE,)),
    "injective": (sj.testing.injective, (IMAGE,)),
    "what a stream takes": (partial(call.constants, stream=STREAM), ((),)),
    "what a stream holds": (partial(call.initial, stream=STREAM), ()),
    "a step of a stream": (
        lambda x: call.step(STREAM.constants([]), STREAM.initial(), x, None, None, STREAM, (((0, 8), (0, 8)),)),
        (IMAGE,),
    ),
    "statistics": (
        partial(_pass._told, (), program=_pass._Program(*jax.tree.flatten(lambda x: [jnp.sin(x)]), ("sum",))),
        (IMAGE, np.zeros((1, 2), np.int32), np.full((1, 2), 8, np.int32)),
    ),
}


JITTED = {  # name in the library -> which of `FUNCTIONS` call it
    "_loss": ("discriminative_loss", "its gradient"),
    "_mean_shift": ("mean_shift",),
    "_nearest": ("nearest code",),
    "_relabel": ("relabel",),
    "_warped": ("elastic",),
    "_cropped": ("random_crop", "tiles"),
    "_draw": ("disc_lattice",),
    "_photograph": ("nuclei",),
    "_whole": ("tiles",),
    "constants": ("what a stream takes",),
    "initial": ("what a stream holds",),
    "step": ("a step of a stream",),
    "_told": ("statistics",),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_lower_for_accelerators(name):
    fn, arguments = FUNCTIONS[name]
    text = exported(fn, *arguments)
    assert all(f"@{jitted}(" in text for jitted, callers in JITTED.items() if name in callers)


def test_no_jitted_function_is_left_out():
    found = set()
    for path in Path(sj.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and any("jax.jit" in ast.unparse(d) for d in node.decorator_list):
                found.add(node.name)
    assert found == {*JITTED, "run", "_compiled"}  # a chunk of training steps; a network of PyTorch, which needs that


def test_a_training_step_lowers_for_accelerators():
    step, state = training_step()
    assert "stablehlo.convolution" in exported(step, state)


def test_mean_shift_takes_larger_pieces_on_an_accelerator():
    pixels = jax.ShapeDtypeStruct((4096, 2), jnp.float32)
    run = partial(sj.mean_shift, bandwidth=0.5, seeds=100)
    on_cpu, elsewhere = (exported(run, pixels, platforms=[platform]) for platform in ("cpu", "cuda"))
    assert "tensor<32x1024xf32>" in on_cpu
    assert "tensor<32x1024xf32>" not in elsewhere
    assert "tensor<100x4096xf32>" in elsewhere
