"""Statistics of the whole image, given to PyTorch, which computes the tiles of frozen networks; JAX where it cannot."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import shiftjax as sj
from proofs_tests.pytorch.networks import by_torch, close, image
from shiftjax.translation._torch import given

SHAPE = (1, 36, 28, 2)
functional = nn.functional


class Between(nn.Module):
    """Something that reads the whole image, between two convolutions."""

    def __init__(self, what: Callable[[Any], Any]) -> None:
        super().__init__()
        self.first, self.what, self.last = nn.Conv2d(2, 4, 3, padding=1), what, nn.Conv2d(4, 2, 3, padding=1)

    def forward(self, x: Any) -> Any:
        return self.last(self.what(torch.relu_(self.first(x))))


class Excited(nn.Module):
    """Squeeze-and-excite."""

    def __init__(self) -> None:
        super().__init__()
        self.pool, self.weigh = nn.AdaptiveAvgPool2d(1), nn.Linear(4, 4)

    def forward(self, x: Any) -> Any:
        return x * torch.sigmoid(self.weigh(self.pool(x).flatten(1)))[:, :, None, None]


def style(x: Any) -> Any:
    """A style vector, whose number of pixels is that of the whole image."""
    vector = x.sum((2, 3)) / (x.shape[2] * x.shape[3])
    return x + (vector / vector.norm(dim=1, keepdim=True))[:, :, None, None]


def branch(x: Any) -> Any:
    """Pooled to one pixel, and resized to the image."""
    return x + functional.interpolate(functional.adaptive_max_pool2d(x, 1), x.shape[2:], mode="nearest")


def standardized(x: Any) -> Any:
    deviation, mean = torch.std_mean(x, (2, 3), keepdim=True)
    return (x - mean) / (deviation + 1e-3)


def over_space(x: Any) -> Any:
    return functional.layer_norm(x, x.shape[1:])


def context(x: Any) -> Any:
    """Global context: a softmax over space, of which only a sum is left."""
    return x + (attention(x) * x).sum((2, 3), keepdim=True)


def attention(x: Any) -> Any:
    """A softmax over space: its maximum and its sum are inside of one operation."""
    return x[:, :1].flatten(2).softmax(-1).reshape(x[:, :1].shape)


def weighted(x: Any) -> Any:
    return 100 * x * attention(x)


def two_groups(x: Any) -> Any:
    return torch.group_norm(x, 2)


def by_size(x: Any) -> Any:
    return functional.instance_norm(x, eps=1e-2 * x.shape[2])


WHOLE: dict[str, Callable[[Any], Any]] = {
    "instance norm": nn.InstanceNorm2d(4, affine=True),
    "group norm": nn.GroupNorm(2, 4),
    "group norm as PyTorch has it by default": two_groups,
    "a norm whose constant is the image's size": by_size,
    "batch norm of the image": nn.BatchNorm2d(4, track_running_stats=False),
    "layer norm over space": over_space,
    "squeeze and excite": Excited(),
    "style": style,
    "branch": branch,
    "standardized": standardized,
    "context": context,
}


class Counted(TorchDispatchMode):
    """Counts convolutions of PyTorch."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += "convolution" in str(func)
        return func(*args, **(kwargs or {}))


def frozen_of(what: Callable[[Any], Any], x: np.ndarray) -> tuple[nn.Module, Any, sj.TilePlan]:
    torch.manual_seed(0)
    module = Between(what).eval()
    frozen = sj.freeze_statistics(sj.from_torch(module), x, tile=12, progress=False)
    return module, frozen, sj.plan_tiles(frozen, x.shape, tile=12, pad=None)


@pytest.mark.parametrize("name", WHOLE)
def test_torch_computes_the_tiles(name: str) -> None:
    x = 2 + image(*SHAPE)
    module, frozen, plan = frozen_of(WHOLE[name], x)
    before = copy.deepcopy(module.state_dict())
    assert frozen.why_jax == ""
    assert "torch" in frozen.versions()
    with Counted() as counted:
        tiled = sj.predict_tiled(frozen, x, plan, batch_size=1)
    assert counted.count == 2 * (np.prod(plan.grid) + 3) > 8  # the first tile twice, and twice without statistics
    assert close(tiled, by_torch(module, x))
    again = pickle.loads(pickle.dumps(frozen))  # on a worker, with a module of its own
    assert np.array_equal(sj.predict_tiled(again, x, plan, batch_size=1), tiled)
    assert all(torch.equal(now, before[key]) for key, now in module.state_dict().items())


def test_where_it_cannot_jax_does_and_says_so(capsys: Any) -> None:
    x = image(*SHAPE)
    module, frozen, plan = frozen_of(weighted, x)
    assert "test_torch_given.py" in frozen.why_jax
    assert frozen.versions() == {}
    with Counted() as counted:
        tiled = sj.predict_tiled(frozen, x, plan)
    assert counted.count == 0
    assert close(tiled, by_torch(module, x))
    assert "JAX computes the tiles, and not PyTorch: the statistic at" in capsys.readouterr().err


def test_each_image_of_a_batch_has_its_own() -> None:
    x = np.concatenate([image(*SHAPE), 3 * image(*SHAPE) + 1])
    for what in (nn.InstanceNorm2d(4, affine=True), Excited()):
        module, frozen, plan = frozen_of(what, x)
        assert close(sj.predict_tiled(frozen, x, plan), by_torch(module, x))


def test_several_tiles_in_a_call_and_automatic_casts() -> None:
    x = image(*SHAPE)
    _, frozen, _ = frozen_of(nn.Sequential(nn.GroupNorm(2, 4), Excited()), x)
    plan = sj.plan_tiles(frozen, SHAPE, tile=12, pad="edge")
    padded = frozen(jnp.pad(jnp.asarray(x), plan.pad_width, mode="edge"))[plan.whole_crop]
    assert close(sj.predict_tiled(frozen, x, plan, batch_size=4), np.asarray(padded))
    with torch.autocast("cpu", torch.bfloat16):
        found = sj.predict_tiled(frozen, x, plan)
    assert not close(found, np.asarray(padded), 1e-4)
    assert close(found, np.asarray(padded), 0.05)


def test_a_norm_of_the_tile_stops_the_run(monkeypatch: Any) -> None:
    """The control: what each tile takes for itself is another map, and the first tile shows it."""
    x = image(*SHAPE)
    _, frozen, plan = frozen_of(nn.InstanceNorm2d(4), x)
    monkeypatch.setattr(given, "_normed", lambda options, _: functional.instance_norm(options["input"]))
    with pytest.raises(ValueError, match="a difference of"):
        sj.predict_tiled(frozen, x, plan)


def test_run_jax_and_changed_modules() -> None:
    x = image(*SHAPE)
    module, frozen, plan = frozen_of(Excited(), x)
    in_jax = sj.freeze_statistics(sj.from_torch(module, run="jax"), x, tile=12, progress=False)
    assert "jax" in in_jax.why_jax
    assert close(sj.predict_tiled(in_jax, x, plan), by_torch(module, x))
    with torch.no_grad():
        module.last.bias += 1
    with pytest.raises(ValueError, match="changed since"):
        sj.predict_tiled(frozen, x, plan)
