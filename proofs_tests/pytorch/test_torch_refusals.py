"""What cannot be translated is refused in one sentence, with the line of the module."""

from __future__ import annotations

import logging
import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import jaxtyping
import pytest
import torch
from torch import nn

import shiftjax as sj
from proofs_tests.pytorch.networks import small

X = jax.ShapeDtypeStruct((1, 16, 16, 1), jnp.float32)


class Fn(nn.Module):
    """A module of a function."""

    def __init__(self, fn):
        super().__init__()
        self.fn = fn

    def forward(self, x):
        return self.fn(x)


def of(fn):
    return sj.from_torch(Fn(fn).eval())


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (lambda: small().state_dict(), "a state dict"),
        (lambda: small().train(), "in training mode"),
        (lambda: nn.Sequential(nn.Conv2d(1, 1, 1)).eval().append(nn.Dropout()), "`1` in training mode"),
        (lambda: nn.DataParallel(small()).eval(), r"`module\.module`"),
        (lambda: torch.compile(small()), "a compiled module"),
        (lambda: torch.jit.trace(small(), torch.zeros(1, 1, 8, 8)), "TorchScript"),
        (lambda: nn.Sequential(torch.jit.trace(small(), torch.zeros(1, 1, 8, 8))).eval(), "TorchScript module `0`"),
        (lambda: nn.LazyConv2d(2, 3).eval(), "without a shape"),
        (lambda: small().to("meta"), "'meta'"),
        (lambda: small().double(), "float64"),
        (lambda: nn.Conv2d, "the class Conv2d"),
        (lambda: 7, "found 7"),
        (lambda: "missing.pt2", "no file"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_what_is_no_module_to_translate(module, words):
    with pytest.raises(ValueError, match=words) as refusal:
        sj.from_torch(module())
    assert str(refusal.value).count("\n") == 0


class Skip(nn.Module):
    """Pools, upsamples and joins: takes even sizes only."""

    def forward(self, x):
        return torch.cat([x, nn.functional.interpolate(nn.functional.max_pool2d(x, 2), scale_factor=2)], 1)


def test_pytorch_does_not_log_the_sizes_that_are_tried_in_vain():
    """To plan for an odd image, sizes are tried that the module does not take; of each PyTorch logs a traceback."""
    records: list[logging.LogRecord] = []
    handler, logger = logging.Handler(), logging.getLogger("torch._subclasses.fake_tensor")
    handler.emit = records.append  # type: ignore
    logger.addHandler(handler)
    try:
        plan = sj.plan_tiles(sj.from_torch(Skip().eval()), (1, 21, 23, 1), tile=8)
        assert plan.equals_whole
        assert not records
        with pytest.raises(RuntimeError, match="must match"):  # control: asked directly, it does
            torch.export.export(Skip().eval(), (torch.zeros(1, 1, 21, 23),), strict=False)
        assert records
    finally:
        logger.removeHandler(handler)


@pytest.fixture
def own_errors():
    """Lets bad arguments reach the library's own checks, past the annotations."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.usefixtures("own_errors")
def test_a_tensor_is_no_image_and_the_error_says_what_is():
    tensor, plan = torch.zeros(1, 1, 16, 16), sj.plan_tiles(jnp.negative, (1, 16, 16, 1), tile=8)
    mend = r"`image`: .* give a NumPy array, `tensor\.movedim\(1, -1\)\.numpy\(force=True\)`"
    with pytest.raises(ValueError, match=mend):
        sj.from_torch(small())(tensor)
    with pytest.raises(ValueError, match=mend):
        sj.predict_tiled(jnp.negative, tensor, plan)
    image = tensor.movedim(1, -1).numpy(force=True)  # control: what the error offers is taken
    assert sj.predict_tiled(jnp.negative, image, plan).shape == (1, 16, 16, 1)


def test_bad_options():
    with pytest.raises(ValueError, match="`run`"):
        sj.from_torch(small(), run="numpy")
    for device in ("cuda:7", "nowhere", "meta"):
        with pytest.raises(ValueError, match="`device`"):
            sj.from_torch(small(), device=device)


def test_a_refusal_is_all_that_is_printed():
    lines = [
        "import jax, shiftjax as sj, torch",
        "class Branch(torch.nn.Module):",
        "    def forward(self, x):",
        "        return x if x.mean() > 0 else -x",
        "try: sj.certify(sj.from_torch(Branch().eval()), jax.ShapeDtypeStruct((1, 16, 16, 1), 'float32'))",
        "except sj.CertificationError as refusal: print(refusal)",
    ]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True)
    assert "decided by the values of pixels" in done.stdout
    assert "torch.ops" not in done.stderr


def _branch(x):
    if x.mean() > 0:
        return x
    return -x


REFUSED = {
    "a branch on pixels": (_branch, "values of pixels"),
    "a number of pixels": (lambda x: x * x.max().item(), "values of pixels"),
    "random numbers": (lambda x: x + torch.rand_like(x), "random"),
    "a random ReLU": (lambda x: nn.functional.rrelu(x, training=True), "drawn"),
    "training": (lambda x: nn.functional.dropout(x, 0.5, training=True), "random|dropout"),
    "a norm that is training": (
        lambda x: nn.functional.batch_norm(x, torch.zeros(1), torch.ones(1), training=True),
        "training|changes",
    ),
    "an operation without translation": (
        lambda x: nn.functional.grid_sample(x, torch.zeros(1, 16, 16, 2), align_corners=False),
        "no translation",
    ),
    "places of maxima": (lambda x: nn.functional.max_pool2d(x, 2, return_indices=True)[1].float(), "places of maxima"),
    "double precision": (lambda x: (x.double() * 2).float(), "32 bits"),
    "64-bit integers": (lambda x: (x * 1000).long() * 3, "32 bits"),
    "a choice by a mask": (lambda x: x[x > 0], "values|mask"),
    "a shape by values": (lambda x: x.repeat_interleave(torch.tensor([3]), 1), "decide the shape"),
    "a number beyond 32 bits": (lambda x: x + 2**40, "not translated"),
    "a constant beyond 32 bits": (lambda x: x + torch.tensor(2**40), "needs 64 bits"),
    "a return of places": (lambda x: x.max(1), "returns the places"),
    "interpolation of integers": (
        lambda x: nn.functional.interpolate(x.to(torch.uint8), scale_factor=2, mode="bilinear"),
        "interpolation of uint8",
    ),
    "a volume doubled but for rounding": (
        lambda x: nn.functional.interpolate(x[:, :, None], scale_factor=(1, 1, 2.01), mode="nearest")[:, :, 0],
        "as the memory of a volume is laid out",
    ),
    "a sort": (lambda x: x.sort(-1)[0], "no translation"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_operations_that_are_refused(name):
    fn, words = REFUSED[name]
    with pytest.raises(sj.TranslationError, match=words) as refusal:
        sj.certify(of(fn), X)
    assert refusal.value.source.startswith(__file__)
    assert refusal.value.operation
    assert refusal.value.advice


def test_a_module_that_changes_itself():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("count", torch.zeros(1))

        def forward(self, x):
            self.count += 1
            return x * self.count

    with pytest.raises(sj.TranslationError, match="changes its own state, `count`") as refusal:
        sj.certify(sj.from_torch(Counting().eval()), X)
    assert refusal.value.source.startswith(__file__)


def test_a_module_that_changes_a_constant():
    state = torch.zeros(1)
    with pytest.raises(sj.TranslationError, match="changes its own state, a tensor"):
        sj.certify(of(lambda x: x * state.add_(1)), X)


def test_a_module_itself_is_no_function_of_jax():
    with pytest.raises(ValueError, match=r"the PyTorch module Small; translate it, `shiftjax\.from_torch"):
        sj.certify(small(), X)


def test_another_number_of_channels():
    with pytest.raises(sj.TranslationError, match="takes 1 channels, the image has 3"):
        sj.plan_tiles(sj.from_torch(small()), (1, 64, 64, 3))


def test_another_rank():
    with pytest.raises(ValueError, match="does not take an image"):
        sj.certify(sj.from_torch(small()), jax.ShapeDtypeStruct((1, 8, 16, 16, 1), jnp.float32))


def test_two_tensors_are_none_of_pythons_own_lines():
    with pytest.raises(sj.TranslationError, match="more than one tensor") as refusal:
        sj.certify(sj.from_torch(nn.Bilinear(16, 16, 16).eval()), X)
    assert "inspect.py" not in str(refusal.value)


def test_another_type():
    with pytest.raises(sj.TranslationError, match="computes in float, the image is of float16"):
        sj.certify(sj.from_torch(small()), jax.ShapeDtypeStruct((1, 16, 16, 1), jnp.float16))


class Other(nn.Module):
    """A module whose `forward` is given."""

    def __init__(self, forward: Any) -> None:
        super().__init__()
        self.forward = forward


CALLS: dict[str, Any] = {
    "two tensors": (lambda x, y: x + y, "more than one tensor. Wrap it"),
    "NumPy": (lambda x: torch.from_numpy(x.numpy() * 2), "leaves PyTorch for NumPy"),
}


@pytest.mark.parametrize("name", CALLS)
def test_what_no_other_size_mends_is_said_at_once(name):
    forward, words = CALLS[name]
    with pytest.raises(sj.TranslationError, match=words):
        sj.plan_tiles(sj.from_torch(Other(forward).eval()), (1, 16, 16, 1), pad=None)


def test_an_output_without_channels_says_how_to_keep_them():
    net = sj.from_torch(Other(lambda x: torch.cat([x, -x], 1).argmax(1)).eval())
    with pytest.raises(ValueError, match=r"keep an axis for channels.*keepdim=True"):
        sj.plan_tiles(net, (1, 16, 16, 1), pad=None)


def test_writing_into_the_image_is_pure():
    """In-place operations on views become pure; the image itself is a copy in every call."""
    net = of(lambda x: x[:, :, ::2].mul_(2) + x[:, :, 1::2].add_(1) + x.relu_()[:, :, ::2])
    x = jnp.arange(-32.0, 32.0).reshape(1, 8, 8, 1)
    y = torch.arange(-32.0, 32.0).reshape(1, 1, 8, 8)
    expected = net.program.module(y.clone())
    assert jnp.array_equal(net(x)[0, ..., 0], jnp.asarray(expected.numpy())[0, 0])


def test_without_torch_the_extra_is_named():
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import shiftjax as sj\n"
        "try: sj.from_torch(1)\n"
        "except ImportError as error: print(error)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "pip install 'shiftjax[torch]'" in told


def test_shiftjax_does_not_import_torch():
    code = "import sys, shiftjax; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
