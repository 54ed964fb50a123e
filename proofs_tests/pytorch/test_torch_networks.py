"""From a PyTorch module to tiles: certificates, plans, predictions in memory and from storage to storage."""

from __future__ import annotations

import pickle
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch import nn

import shiftjax as sj
from proofs_tests.pytorch.networks import by_torch, close, image, small, unet
from shiftjax.translation._torch import tiles

SHAPE = (1, 46, 52, 1)


def described(*shape):
    return jax.ShapeDtypeStruct(shape, jnp.float32)


@pytest.fixture(scope="module")
def module():
    return small()


@pytest.fixture(scope="module")
def net(module):
    return sj.from_torch(module)


@pytest.fixture(scope="module")
def plan(net):
    return sj.plan_tiles(net, SHAPE, pad=None, tile=16)


def test_the_translation_is_the_module(module, net):
    x = image(2, 32, 48, 1)
    assert close(net(x), by_torch(module, x))
    assert net.program.names == tuple(name for name, _ in module.named_parameters())


def test_weights_are_leaves(net):
    gradients = jax.grad(lambda n: jnp.mean(n(jnp.ones((1, 8, 8, 1))) ** 2))(net)
    assert {leaf.shape for leaf in jax.tree.leaves(gradients)} == {leaf.shape for leaf in jax.tree.leaves(net)}
    assert "first.weight" in sj.certify(net, described(1, 16, 16, 1)).parameters


def test_the_certificate_has_the_lines_of_the_module(net):
    certificate = sj.certify(net, described(1, 32, 32, 1))
    assert certificate.period == (2, 2)
    assert certificate.function == "Small"
    sources = {step.source.rpartition("/")[2].partition(":")[0] for step in certificate.steps}
    assert sources == {"networks.py"}


def test_tiles_by_torch_and_by_jax_are_the_whole_image(module, net, plan):
    x = image(*SHAPE)
    assert plan.equals_whole
    assert np.prod(plan.grid) > 1
    whole = by_torch(module, x)
    assert close(sj.predict_tiled(net, x, plan), whole)
    assert close(sj.predict_tiled(sj.from_torch(module, run="jax"), x, plan), whole)


def test_the_module_computes_the_tiles(module, net, plan):
    calls = []
    handle = module.register_forward_hook(lambda *_: calls.append(1))
    try:
        sj.predict_tiled(net, image(*SHAPE), plan, batch_size=1)
    finally:
        handle.remove()
    assert len(calls) >= np.prod(plan.grid)


def test_padded_plans_have_several_tiles_per_call(module, net):
    plan = sj.plan_tiles(net, SHAPE, tile=16)
    x = image(*SHAPE)
    padded = np.pad(x, plan.pad_width, mode="reflect")
    assert plan.batchwise
    assert close(sj.predict_tiled(net, x, plan, batch_size=4), by_torch(module, padded)[plan.whole_crop])


def test_outputs_with_strides_and_in_containers():
    class Heads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 3, stride=2, padding=1)

        def forward(self, x):
            y = self.conv(x)
            return {"coarse": y, "labels": y.argmax(1, keepdim=True), "all": (torch.sigmoid(x), None)}

    module = Heads().eval()
    net, x = sj.from_torch(module), image(1, 40, 40, 1)
    plan = sj.plan_tiles(net, x.shape, pad=None, tile=16)
    found = sj.predict_tiled(net, x, plan)
    assert sorted(found) == ["all", "coarse", "labels"]
    with torch.no_grad():
        expected = module(torch.from_numpy(np.moveaxis(x, -1, 1)))
    assert close(found["coarse"], np.moveaxis(expected["coarse"].numpy(), 1, -1))
    assert np.array_equal(found["labels"], np.moveaxis(expected["labels"].numpy(), 1, -1))


@pytest.mark.parametrize("options", [{"up": "bilinear"}, {"norm": "tracked"}, {"ndim": 3}], ids=str)
def test_unets_certify_and_equal_torch(options):
    module = unet(**options)
    shape = (1, 16, 16, 16, 1) if "ndim" in options else (1, 48, 32, 1)
    net, x = sj.from_torch(module), image(*shape)
    assert close(net(x), by_torch(module, x))
    assert set(sj.certify(net, described(*shape)).period) == {4}


def test_a_volume_is_tiled_to_its_border_however_it_is_cut_into_slabs():
    """What two convolutions do at an end reaches further than one of the slabs in which they compute a volume."""
    module = unet(ndim=3, up="trilinear")
    net, x = sj.from_torch(module), image(1, 124, 64, 64, 1)
    plan = sj.plan_tiles(net, x.shape, pad=None, tile=(40, 64, 64))
    assert np.prod(plan.grid) > 1
    assert close(sj.predict_tiled(net, x, plan), by_torch(module, x))


@pytest.mark.parametrize(
    ("options", "line"),
    [({"norm": "instance"}, "x = level(x)"), ({"norm": "group"}, "x = level(x)"), ({"up": "aligned"}, "x = up(x)")],
    ids=str,
)
def test_a_refusal_names_the_line_of_the_module(options, line):
    """In a module whose statistics are those of the whole image, and one whose weights depend on its size."""
    with pytest.raises(sj.CertificationError) as refusal:
        sj.certify(sj.from_torch(unet(**options)), described(1, 32, 32, 1))
    file, _, number = refusal.value.source.rpartition(":")
    assert file.endswith("_plain_unet.py")
    with open(file) as text:
        assert text.readlines()[int(number) - 1].strip() == line


def test_from_storage_to_storage(module, net, plan, tmp_path):
    zarr = pytest.importorskip("zarr")
    x = image(*SHAPE)
    zarr.save_array(str(tmp_path / "in.zarr"), x[0, ..., 0])
    result = sj.predict_volume(
        net, str(tmp_path / "in.zarr"), str(tmp_path / "out.zarr"), plan, axes="yx", progress=False
    )
    assert close(np.moveaxis(np.asarray(result), 0, -1)[None], by_torch(module, x))
    with pytest.raises(sj.VolumeError, match="another"):  # other programs round otherwise
        sj.predict_volume(
            sj.from_torch(module, run="jax"),
            str(tmp_path / "in.zarr"),
            str(tmp_path / "out.zarr"),
            plan,
            axes="yx",
            progress=False,
        )


def test_another_process_has_the_module_too(net, plan):
    again = pickle.loads(pickle.dumps(net))
    x = image(*SHAPE)
    assert np.array_equal(sj.predict_tiled(again, x, plan), sj.predict_tiled(net, x, plan))


def test_a_changed_module_is_refused(plan):
    module = small()
    net, x = sj.from_torch(module), image(*SHAPE)
    sj.predict_tiled(net, x, plan)
    module.train()
    with pytest.raises(ValueError, match="mode"):
        sj.predict_tiled(net, x, plan)
    module.eval()
    sj.predict_tiled(net, x, plan)
    with torch.no_grad():
        module.last.bias += 1
    with pytest.raises(ValueError, match="changed since"):
        sj.predict_tiled(net, x, plan)
    with torch.no_grad():
        module.last.bias -= 1
    module.first.padding_mode = "circular"
    with pytest.raises(ValueError, match="options have changed since"):
        sj.predict_tiled(net, x, plan)


def test_changed_leaves_are_refused_where_torch_computes(module, net, plan):
    changed = jax.tree.map(lambda leaf: leaf + 1, net)
    with pytest.raises(ValueError, match=r"others in `first\.weight`"):
        sj.predict_tiled(changed, image(*SHAPE), plan)
    in_jax = jax.tree.map(lambda leaf: leaf + 1, sj.from_torch(module, run="jax"))
    sj.predict_tiled(in_jax, image(*SHAPE), plan)


def test_a_module_that_is_not_its_translation_stops_the_run(module, plan):
    """Its state is the same, what it computes is not."""
    net = sj.from_torch(module)
    sj.predict_tiled(net, image(*SHAPE), plan)
    handle = module.last.register_forward_hook(lambda _, __, y: y + 1e-2)
    try:
        with pytest.raises(ValueError, match="a difference of"):
            sj.predict_tiled(net, image(*SHAPE), plan)
    finally:
        handle.remove()


class Stateful(nn.Module):
    """Counts its calls in an attribute, which its first call does not show."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.calls = nn.Conv2d(1, 2, 3, padding=1), torch.zeros(1)

    def forward(self, x):
        self.calls = self.calls + 1
        return self.conv(x) * self.calls


def test_a_module_with_state_stops_the_run(monkeypatch):
    net, x = sj.from_torch(Stateful().eval()), image(*SHAPE)
    plan = sj.plan_tiles(net, SHAPE, pad=None, tile=16)
    with pytest.raises(ValueError, match="gives the same for the same tiles"):
        sj.predict_tiled(net, x, plan, batch_size=1)
    # The control: on its first tile alone it is its translation.
    compare = tiles._compare
    monkeypatch.setattr(tiles, "_compare", lambda *args: None if args[3] == tiles.AGAIN[0] else compare(*args))
    net = sj.from_torch(Stateful().eval())
    sj.predict_tiled(net, x, plan, batch_size=1)


def test_blank_tiles_tell_nothing(module, plan, monkeypatch):
    """A hook that takes the mean away is not seen where the image is 0 all over, so a tile with pixels is compared."""
    x = image(*SHAPE)
    x[:, :30, :30] = 0
    net = sj.from_torch(module)
    sj.predict_tiled(net, x, plan, batch_size=1)
    handle = module.first.register_forward_pre_hook(lambda _, args: (args[0] - args[0].mean((2, 3), keepdim=True),))
    try:
        with pytest.raises(ValueError, match="a difference of"):
            sj.predict_tiled(net, x, plan, batch_size=1)
        monkeypatch.setattr(tiles, "_varied", lambda _: np.array([False]))
        sj.predict_tiled(net, x, plan, batch_size=1)
    finally:
        handle.remove()


def test_what_may_differ():
    """Of numbers their size, of classes how many; infinities are equal to themselves."""
    labels = np.arange(20000) % 3
    other = labels.copy()
    other[7] += 1
    tiles._compare(labels, other, 1e-4, "", "")
    tiles._compare(np.array([1.0, np.inf, np.nan]), np.array([1.00001, np.inf, np.nan]), 1e-4, "", "")
    for own, wrong in (labels, labels[::-1].copy()), (np.array([1.0, np.inf]), np.array([1.0, 2.0])):
        with pytest.raises(ValueError, match="a difference of"):
            tiles._compare(own, wrong, 1e-4, "", "")


def test_a_number_of_objects_is_no_image():
    """A single wrong count is wrong; numbers of no place are compared by the largest of them."""
    with pytest.raises(ValueError, match="a difference of"):
        tiles._compare(np.array([7]), np.array([8]), 1e-4, "", "")
    own, other = np.array([[100.0, 1e-3]]), np.array([[100.0, 2e-3]])
    tiles._compare(own, other, 1e-4, "", "")
    with pytest.raises(ValueError, match="of its channel"):  # control: channels of images by each
        tiles._compare(own[:, None], other[:, None], 1e-4, "", "")


def test_automatic_casts_within_the_module(module, plan):
    """The type in which it computes decides what is rounding."""

    class Casting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = module

        def forward(self, x):
            with torch.autocast("cpu", torch.bfloat16):
                return self.inner(x).float()

    net, x = sj.from_torch(Casting().eval()), image(*SHAPE)
    program: Any = net.program
    assert {"bfloat16", "float32"} <= program.types(x.shape, x.dtype)
    own = sj.plan_tiles(net, SHAPE, pad=None, tile=16)
    found = sj.predict_tiled(net, x, own)
    assert not close(found, by_torch(module, x), 1e-4)
    assert close(found, by_torch(module, x), 0.05)


def test_devices_of_jax_are_not_for_torch(net, plan):
    with pytest.raises(ValueError, match="`devices`"):
        sj.predict_tiled(net, image(*SHAPE), plan, devices=jax.devices())


def test_half_precision():
    module = small().to(torch.bfloat16)
    net = sj.from_torch(module)
    plan = sj.plan_tiles(net, SHAPE, pad=None, tile=16, dtype=jnp.bfloat16)
    found = sj.predict_tiled(net, image(*SHAPE), plan)
    assert found.dtype == jnp.bfloat16
    assert close(found.astype(np.float32), by_torch(small(), image(*SHAPE)), 0.1)


def test_automatic_casts_are_the_users(module, net, plan):
    """The module computes in bfloat16, the result has the planned type, and the comparison allows for it."""
    x = image(*SHAPE)
    with torch.autocast("cpu", torch.bfloat16):
        found = sj.predict_tiled(net, x, plan)
        assert net.versions()["torch"].endswith("in bfloat16")  # by which a target knows its pixels
    assert "bfloat16" not in net.versions()["torch"]
    whole = by_torch(module, x)
    assert found.dtype == np.float32
    assert np.array_equal(found, found.astype(jnp.bfloat16).astype(np.float32))
    assert close(found, whole, 0.05)


def test_channels_last_is_the_users(plan):
    module = small().to(memory_format=torch.channels_last)
    seen = []
    module.second.register_forward_pre_hook(
        lambda _, args: seen.append(args[0].is_contiguous(memory_format=torch.channels_last))
    )
    x = image(*SHAPE)
    assert close(sj.predict_tiled(sj.from_torch(module), x, plan), by_torch(small(), x))
    assert any(seen)


def test_operations_of_other_libraries_are_refused():
    """Also where their namespace has the name of an operation."""
    library = torch.library.Library("add", "DEF")
    library.define("halved(Tensor x) -> Tensor")
    library.impl("halved", lambda x: x / 2, "CompositeExplicitAutograd")
    torch.library.register_fake("add::halved", torch.empty_like, lib=library)

    class Halved(nn.Module):
        def forward(self, x):
            return torch.ops.add.halved(x)

    with pytest.raises(sj.TranslationError, match=r"`add\.halved"):
        sj.certify(sj.from_torch(Halved().eval()), described(1, 8, 8, 1))
