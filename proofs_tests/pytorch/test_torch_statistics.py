"""Default networks of the field, whose norms read the whole image: frozen, their tiles are the whole image.

The control: without it, or with statistics of another image, they are not.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
import torch
from torch import nn

import shiftjax as sj
from proofs_tests.pytorch.networks import by_torch, close, image

SHAPE = (1, 80, 72, 1)


def nnunet() -> nn.Module:
    unet = pytest.importorskip("dynamic_network_architectures.architectures.unet")
    norm = {"norm_op": nn.InstanceNorm2d, "norm_op_kwargs": {"affine": True}, "nonlin": nn.LeakyReLU}
    return unet.PlainConvUNet(1, 2, [4, 8], nn.Conv2d, 3, [1, 2], [1, 1], 2, [1], conv_bias=True, **norm)


def dynunet() -> nn.Module:
    nets = pytest.importorskip("monai.networks.nets")
    return nets.DynUNet(2, 1, 2, [3, 3, 3], [1, 2, 2], [2, 2], filters=[4, 4, 4])


def group_normed() -> nn.Module:
    model = pytest.importorskip("pytorch3dunet.unet3d.model")
    return model.UNet2D(1, 2, f_maps=[4, 8], final_sigmoid=False, num_groups=2)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make", [nnunet, dynunet, group_normed])
def test_norms_of_the_whole_image(make: Any) -> None:
    torch.manual_seed(0)
    module, x = make().eval(), image(*SHAPE)
    net = sj.from_torch(module)
    with pytest.raises(sj.CertificationError, match="freeze_statistics"):
        sj.certify(net, jax.ShapeDtypeStruct(SHAPE, "float32"))
    frozen = sj.freeze_statistics(net, x, tile=16, progress=False)
    plan = sj.plan_tiles(frozen, SHAPE, tile=16, pad=None)
    assert plan.equals_whole
    assert min(plan.grid) > 1
    assert close(sj.predict_tiled(frozen, x, plan), by_torch(module, x))
    others = sj.freeze_statistics(net, np.square(x), tile=16, progress=False)
    assert not close(sj.predict_tiled(others, x, plan), by_torch(module, x), 1e-3)
