"""Networks as their packages make them: equal to PyTorch, certified, or refused at a line of the package."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest
from _field import entries, made
from _off_grid import off_grid

import shiftjax as sj
from proofs_tests.pytorch.networks import by_torch, close, image

# Of packages that are light; `benchmarks/networks_of_the_field.py` asks many more.
PACKAGES = {
    "monai": "monai",
    "dynamic-network-architectures": "dynamic_network_architectures",
    "pytorch3dunet": "pytorch3dunet",
}
CERTIFIED = {
    "DynUNet, batch norm": (4, 4),
    "UNet, residual units, batch norm": (4, 4),
    "PlainConvUNet, batch norm": (8, 8),
    "ResidualUNet3D, layer_order=cbr": (4, 4, 4),
}
REFUSED = {
    "DynUNet": "monai/networks/blocks/dynunet_block.py",
    "AttentionUnet": "monai/networks/nets/attentionunet.py",
    "PlainConvUNet (nnU-Net)": "dynamic_network_architectures/building_blocks/simple_conv_blocks.py",
}


@pytest.fixture(scope="module")
def field():
    for module in PACKAGES.values():
        pytest.importorskip(module)
    return {entry.name: entry for entry in entries(tuple(PACKAGES))}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [*CERTIFIED, *REFUSED])
def test_networks_of_the_field(name, field):
    entry = field[name]
    module, ndim = made(entry), len(entry.shape) - 2
    shape = (1, *({2: 64, 3: 16}[ndim],) * ndim, entry.shape[-1])
    net, x = sj.from_torch(module), image(*shape)
    assert close(net(x), by_torch(module, x))
    described = jax.ShapeDtypeStruct(shape, jnp.float32)
    if name in CERTIFIED:
        assert sj.certify(net, described).period == CERTIFIED[name]
        return
    with pytest.raises(sj.CertificationError) as refusal:
        sj.certify(net, described)
    assert REFUSED[name] in refusal.value.source


@pytest.mark.parametrize("name", ["U-Net, learned up", "U-Net, valid", "U-Net, nearest"])
def test_a_crop_off_the_grid_is_wrong_and_one_on_it_is_not(name):
    (entry,) = (entry for entry in entries(("torch",)) if entry.name == name)
    on, off = off_grid(entry, sj.certify(sj.from_torch(made(entry)), jax.ShapeDtypeStruct(entry.shape, "float32")))
    assert on < 1e-5
    assert off > 0.1
