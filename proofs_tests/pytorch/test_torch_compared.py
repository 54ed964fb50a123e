"""Tiles of a module are compared with its translation, and differences are seen wherever they are."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import shiftjax as sj
from proofs_tests.pytorch.networks import by_torch, close, image

IMAGE = image(1, 24, 32, 1)
UNEQUAL = "equal to those of its translation"


def _conv(channels: int = 1) -> nn.Conv2d:
    return nn.Conv2d(1, channels, 3, padding=1)


class Mean(nn.Module):
    """A norm, a mean over windows, and a factor that is no tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.mean, self.gain = _conv(2), nn.InstanceNorm2d(2), nn.AvgPool2d(3, 1, 1), 1.5

    def forward(self, x: Any) -> Any:
        return self.mean(self.norm(self.conv(x))) * self.gain


CHANGES: dict[str, Any] = {
    "an option": lambda module: setattr(module.mean, "count_include_pad", False),
    "an attribute": lambda module: setattr(module, "gain", 3.0),
    "a hook": lambda module: module.mean.register_forward_hook(lambda _, __, y: y + 1),
    "a method": lambda module: setattr(module.mean, "forward", lambda x: x),
}


@pytest.mark.parametrize("change", [None, *CHANGES])
def test_a_change_after_freezing_stops_the_run(change):
    torch.manual_seed(0)
    module = Mean().eval()
    frozen = sj.freeze_statistics(sj.from_torch(module), IMAGE, progress=False)
    plan = sj.plan_tiles(frozen, IMAGE.shape, pad=None, tile=8)
    if change is None:  # control
        assert close(sj.predict_tiled(frozen, IMAGE, plan), by_torch(module, IMAGE))
        return
    CHANGES[change](module)
    with pytest.raises(ValueError, match=f"{UNEQUAL}.*translate it again"):
        sj.predict_tiled(frozen, IMAGE, plan)


class Beside(nn.Module):
    """A small output beside one in another unit; `tells` it that it is exported, it hides what it does otherwise."""

    def __init__(self, *, tells: bool) -> None:
        super().__init__()
        self.large, self.small, self.tells = _conv(), _conv(), tells

    def forward(self, x: Any) -> Any:
        small = self.small(x)
        if self.tells and not torch.compiler.is_compiling():
            small = small - small.amax((2, 3), keepdim=True)
        return torch.cat([self.large(x) * 1e5, small], 1)


@pytest.mark.parametrize("tells", [False, True])
def test_a_small_channel_beside_a_large_one_is_compared_too(tells):
    torch.manual_seed(0)
    module = Beside(tells=tells).eval()
    net = sj.from_torch(module)
    plan = sj.plan_tiles(net, IMAGE.shape, pad=None, tile=8)
    if not tells:
        assert close(sj.predict_tiled(net, IMAGE, plan), by_torch(module, IMAGE))
        return
    with pytest.raises(ValueError, match=f"{UNEQUAL}.*largest value of its channel"):
        sj.predict_tiled(net, IMAGE, plan)


class Above(nn.Module):
    """Pixels above a threshold."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = _conv()

    def forward(self, x: Any) -> Any:
        return self.conv(x) > 1.2


@pytest.mark.parametrize("changed", [False, True])
def test_masks_are_compared_by_their_own_pixels(changed):
    """In bfloat16 a tenth of what is not background may differ, not a tenth of all."""
    torch.manual_seed(0)
    module = Above().to(torch.bfloat16).eval()
    net = sj.from_torch(module)
    plan = sj.plan_tiles(net, IMAGE.shape, pad=None, tile=8, dtype="bfloat16")
    assert 0 < np.mean(sj.predict_tiled(net, IMAGE, plan)) < 0.1  # the control
    if changed:
        module.conv.register_forward_hook(lambda _, __, y: y - y.amax((2, 3), keepdim=True) + 1.5)
        with pytest.raises(ValueError, match=f"{UNEQUAL}.*most frequent"):
            sj.predict_tiled(net, IMAGE, plan)


def test_tiles_are_compared_until_their_outputs_tell_something():
    """The first tiles show noise, and the output is 0 there, whatever the module does."""
    torch.manual_seed(0)
    faint = image(1, 48, 64, 1) * 4
    faint[:, :20, :20] *= 0.01
    module = Above().eval()
    net = sj.from_torch(module)
    plan = sj.plan_tiles(net, faint.shape, pad=None, tile=8)
    expected = module(torch.from_numpy(np.moveaxis(faint, -1, 1).copy())).numpy()
    assert np.array_equal(np.moveaxis(sj.predict_tiled(net, faint, plan, batch_size=1), -1, 1), expected)
    module.conv.register_forward_hook(lambda _, __, y: 2 * y / y.abs().amax((2, 3), keepdim=True).clamp(min=1.4))
    with pytest.raises(ValueError, match=UNEQUAL):
        sj.predict_tiled(net, faint, plan, batch_size=1)


def test_an_empty_channel_of_the_image_hides_nothing():
    """The first tiles are blank; in the others one of two channels is, as of a stain that is not there."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(2, 2, 3, padding=1)).eval()
    x = image(1, 48, 64, 2)
    x[:, :20, :20], x[..., 1] = 0, 0
    net = sj.from_torch(module)
    plan = sj.plan_tiles(net, x.shape, pad=None, tile=8)
    assert close(sj.predict_tiled(net, x, plan, batch_size=1), by_torch(module, x))
    module.register_forward_pre_hook(lambda _, args: (args[0] - args[0].mean((2, 3), keepdim=True),))
    with pytest.raises(ValueError, match=UNEQUAL):
        sj.predict_tiled(net, x, plan, batch_size=1)


@lru_cache
def _window(rows: int, columns: int) -> Any:
    return torch.full((rows, columns), 0.5)


class Caching(nn.Module):
    """Weights of a size, made once for all modules."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = _conv()

    def forward(self, x: Any) -> Any:
        return self.conv(x) * _window(*x.shape[2:])


def test_a_cache_outside_of_the_module_is_named():
    net = sj.from_torch(Caching().eval())
    with pytest.raises((sj.TranslationError, ValueError), match=r"left in a cache.*register it as a buffer"):
        sj.predict_tiled(net, IMAGE, sj.plan_tiles(net, IMAGE.shape, pad=None, tile=8))


def test_weights_that_changed_are_refused_where_jax_computes():
    module = nn.Sequential(_conv(2)).eval()
    net = sj.from_torch(module, run="jax")
    plan = sj.plan_tiles(net, IMAGE.shape, pad=None, tile=8)
    assert close(sj.predict_tiled(net, IMAGE, plan), by_torch(module, IMAGE))
    module[0].weight.data.mul_(3)
    with pytest.raises(ValueError, match="changed since"):
        sj.predict_tiled(net, IMAGE, plan)


class Twice(nn.Module):
    """Two outputs whose names are written alike."""

    def forward(self, x: Any) -> Any:
        return {1: x, "1": 2 * x}


def test_outputs_whose_names_are_written_alike_are_refused():
    with pytest.raises(sj.TranslationError, match="two keys are written alike"):
        sj.certify(sj.from_torch(Twice().eval()), IMAGE)
