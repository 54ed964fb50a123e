"""Segmentation and restoration networks as their packages make them, small, with random weights."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Entry:
    """A network.

    Attributes:
        name: of the network and of the options that are not the default.
        package: as it is installed.
        make: makes it.
        shape: of an image, `(batch, *space, channel)`.
    """

    name: str
    package: str
    make: Callable[[], Any]
    shape: tuple[int, ...]


def entries(packages: Sequence[str] = ()) -> Iterator[Entry]:
    """All networks of the packages that are installed, or of some of them."""
    for package, family in FAMILIES.items():
        if packages and package not in packages:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                yield from family()
            except Exception as error:  # whatever a package raises without those that it asks for
                print(f"left out: {package} ({error})")


def made(entry: Entry) -> Any:
    """The network in eval mode, with statistics as after some training."""
    import torch

    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = entry.make().eval()
    for part in module.modules():
        if getattr(part, "running_var", None) is not None:
            part.running_mean.uniform_(-0.2, 0.2)
            part.running_var.uniform_(0.5, 2)
    return module


def by_module(module: Any, image: np.ndarray) -> list[np.ndarray]:
    """The outputs of the module, channels last."""
    import torch

    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outputs = module(torch.from_numpy(np.moveaxis(image, -1, 1)).contiguous())
    leaves = [y.numpy() for y in torch.utils._pytree.tree_leaves(outputs) if y is not None]
    return [np.moveaxis(y, 1, -1) if y.ndim == image.ndim else y for y in leaves]


def of_several_fields(entry: Entry, certificate: Any) -> list[int]:
    """Pixels per axis of an image of more than two fields and three periods, in whole periods."""
    axes = certificate.axes
    sizes = [axis.period * -(-(2 * axis.field + 3 * axis.period) // axis.period) for axis in axes]
    return [max(n, m) for n, m in zip(sizes, entry.shape[1:-1], strict=True)]


PLANE, DEEP_PLANE, COLOURS, VOLUME = (1, 128, 128, 1), (1, 256, 256, 1), (1, 256, 256, 3), (1, 64, 64, 64, 1)


def _own() -> Iterator[Entry]:
    from _plain_unet import PlainUNet

    def entry(name: str, shape: tuple[int, ...] = PLANE, **options: Any) -> Entry:
        return Entry(name, "torch", lambda: PlainUNet(**options), shape)

    yield entry("U-Net, learned up")
    yield entry("U-Net, 3-D, learned up", VOLUME, ndim=3)
    yield entry("U-Net, nearest", up="nearest")
    yield entry("U-Net, bilinear", up="bilinear")
    yield entry("U-Net, bilinear, align_corners=True", up="aligned")
    yield entry("U-Net, bicubic", up="bicubic")
    yield entry("U-Net, batch norm", norm="batch")
    yield entry("U-Net, group norm", norm="group")
    yield entry("U-Net, instance norm", norm="instance")
    yield entry("U-Net, instance norm that tracks", norm="tracked")
    yield entry("U-Net, valid", (1, 124, 124, 1), padding=0)
    yield entry("U-Net, 3-D, valid", (1, 60, 60, 60, 1), ndim=3, padding=0)


def _monai() -> Iterator[Entry]:
    nets = importlib.import_module("monai.networks.nets")

    def entry(name: str, make: Callable[[], Any], shape: tuple[int, ...] = PLANE) -> Entry:
        return Entry(name, "monai", make, shape)

    def unet(ndim: int = 2, **options: Any) -> Any:
        return nets.UNet(ndim, 1, 2, channels=(4, 8, 16), strides=(2, 2), **options)

    yield entry("UNet", unet)
    yield entry("UNet, residual units, batch norm", lambda: unet(num_res_units=2, norm="batch"))
    yield entry("UNet, 3-D, residual units, batch norm", lambda: unet(3, num_res_units=2, norm="batch"), VOLUME)
    widths = (4, 4, 8, 16, 32, 4)
    yield entry("BasicUNet", lambda: nets.BasicUNet(2, 1, 2, widths))
    yield entry("BasicUNet, batch norm", lambda: nets.BasicUNet(2, 1, 2, widths, norm="batch"), DEEP_PLANE)
    yield entry(
        "BasicUNet, batch norm, upsample=nontrainable",
        lambda: nets.BasicUNet(2, 1, 2, widths, norm="batch", upsample="nontrainable"),
    )
    yield entry("SegResNet", lambda: nets.SegResNet(2, 8, 1, 2))
    yield entry("SegResNet, batch norm", lambda: nets.SegResNet(2, 8, 1, 2, norm="batch"), DEEP_PLANE)

    def dynunet(**options: Any) -> Any:
        return nets.DynUNet(2, 1, 2, [3, 3, 3], [1, 2, 2], [2, 2], filters=[4, 8, 16], **options)

    yield entry("DynUNet", dynunet)
    yield entry("DynUNet, batch norm", lambda: dynunet(norm_name="batch"))
    yield entry("AttentionUnet", lambda: nets.AttentionUnet(2, 1, 2, (4, 8, 16), (2, 2)))
    yield entry("FlexibleUNet, efficientnet-b0", lambda: nets.FlexibleUNet(3, 2, "efficientnet-b0"), COLOURS)
    yield entry("HighResNet", lambda: nets.HighResNet(2, 1, 2))
    yield entry("VNet", lambda: nets.VNet(2, 1, 2), DEEP_PLANE)
    yield entry(
        "UNETR",
        lambda: nets.UNETR(1, 2, (128, 128), 4, 48, 96, 4, spatial_dims=2),
    )
    yield entry("SwinUNETR", lambda: nets.SwinUNETR(1, 2, feature_size=12, spatial_dims=2), PLANE)
    yield entry("UNet++ (BasicUNetPlusPlus), batch norm", lambda: nets.BasicUNetPlusPlus(2, 1, 2, widths, norm="batch"))


def _nnunet() -> Iterator[Entry]:
    unet = importlib.import_module("dynamic_network_architectures.architectures.unet")
    nn = importlib.import_module("torch").nn

    def make(cls: Any, ndim: int, norm: str, *blocks: list[int]) -> Any:
        conv = nn.Conv2d if ndim == 2 else nn.Conv3d
        op = getattr(nn, f"{norm}Norm{ndim}d")
        stages = len(blocks[0])
        return cls(
            1, stages, [4 * 2**k for k in range(stages)], conv, 3, [1] + [2] * (stages - 1), blocks[0], 2, blocks[1],
            conv_bias=True, norm_op=op, norm_op_kwargs={"eps": 1e-5, "affine": True},
            nonlin=nn.LeakyReLU, nonlin_kwargs={"inplace": True},
        )  # fmt: skip

    def entry(name: str, cls: str, ndim: int, norm: str, *blocks: list[int]) -> Entry:
        shape = DEEP_PLANE if ndim == 2 else VOLUME
        return Entry(
            name, "dynamic-network-architectures", lambda: make(getattr(unet, cls), ndim, norm, *blocks), shape
        )

    plain, decoder, residual = [2, 2, 2, 2], [2, 2, 2], [1, 2, 2, 2]
    yield entry("PlainConvUNet (nnU-Net)", "PlainConvUNet", 2, "Instance", plain, decoder)
    yield entry("PlainConvUNet, batch norm", "PlainConvUNet", 2, "Batch", plain, decoder)
    yield entry("PlainConvUNet, 3-D (nnU-Net)", "PlainConvUNet", 3, "Instance", plain[:3], decoder[:2])
    yield entry("ResidualEncoderUNet (nnU-Net ResEnc)", "ResidualEncoderUNet", 2, "Instance", residual, [1, 1, 1])
    yield entry("ResidualEncoderUNet, 3-D, batch norm", "ResidualEncoderUNet", 3, "Batch", residual, [1, 1, 1])


def _pytorch3dunet() -> Iterator[Entry]:
    model = importlib.import_module("pytorch3dunet.unet3d.model")

    def entry(name: str, cls: str, shape: tuple[int, ...] = VOLUME, **options: Any) -> Entry:
        make = lambda: getattr(model, cls)(1, 2, final_sigmoid=True, f_maps=8, **options)  # noqa: E731
        return Entry(name, "pytorch3dunet", make, shape)

    yield entry("UNet3D", "UNet3D", num_levels=3)
    yield entry("UNet3D, layer_order=bcr", "UNet3D", layer_order="bcr", num_levels=3)
    yield entry("UNet2D, layer_order=bcr", "UNet2D", DEEP_PLANE, layer_order="bcr", num_levels=4)
    yield entry("ResidualUNet3D", "ResidualUNet3D", num_levels=3)
    yield entry("ResidualUNet3D, layer_order=cbr", "ResidualUNet3D", layer_order="cbr", num_levels=3)
    yield entry("ResidualUNetSE3D, layer_order=cbr", "ResidualUNetSE3D", layer_order="cbr", num_levels=3)


def _smp() -> Iterator[Entry]:
    _torchvision()
    smp = importlib.import_module("segmentation_models_pytorch")

    def entry(cls: str, encoder: str, note: str = "", **options: Any) -> Entry:
        make = lambda: getattr(smp, cls)(encoder, encoder_weights=None, in_channels=3, classes=2, **options)  # noqa: E731
        return Entry(f"{cls}, {encoder}{note}", "segmentation-models-pytorch", make, COLOURS)

    for cls in ("Unet", "UnetPlusPlus", "Linknet", "FPN", "PSPNet", "DeepLabV3Plus", "MAnet", "PAN", "DeepLabV3"):
        yield entry(cls, "resnet18")
    yield entry("Unet", "resnet34")
    yield entry("Unet", "mobilenet_v2")
    yield entry("Unet", "efficientnet-b0")
    yield entry("Unet", "resnet18", ", interpolation=bilinear", decoder_interpolation="bilinear")
    yield entry("Segformer", "mit_b0")
    yield entry("UPerNet", "resnet18")


def _torchvision() -> None:
    """Its operations on boxes, which its modules ask for as they are imported and no network here uses.

    A build for GPUs does not bring them to a PyTorch without.
    """
    if "torchvision" in sys.modules:
        return
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        spec = importlib.util.find_spec("torchvision")
        assert spec
        assert spec.origin
        text = Path(spec.origin).with_name("_meta_registrations.py").read_text()
        library = importlib.import_module("torch").library.Library("torchvision", "DEF")
        for name in sorted(
            set(re.findall(r"torchvision::(\w+)", text)) | set(re.findall(r'register_meta\("(\w+)"', text))
        ):
            library.define(f"{name}() -> ()")
        _KEPT.append(library)
        importlib.import_module("torchvision")


_KEPT: list[Any] = []  # a library's definitions end with it


def _timm() -> Iterator[Entry]:
    _torchvision()
    timm = importlib.import_module("timm")
    nn = importlib.import_module("torch").nn

    class Last(nn.Module):  # type: ignore[name-defined]
        """The last of an encoder's features."""

        def __init__(self, name: str, **options: Any) -> None:
            super().__init__()
            self.encoder = timm.create_model(name, features_only=True, pretrained=False, **options)

        def forward(self, image: Any) -> Any:
            return self.encoder(image)[-1]

    shape = (1, 224, 224, 3)
    yield Entry("resnet18, features", "timm", lambda: Last("resnet18", out_indices=(1, 2, 3)), shape)
    yield Entry("convnext_atto, features", "timm", lambda: Last("convnext_atto", out_indices=(0, 1, 2)), shape)
    yield Entry("efficientnet_lite0, features", "timm", lambda: Last("efficientnet_lite0", out_indices=(1, 2)), shape)
    yield Entry("regnetx_002, features", "timm", lambda: Last("regnetx_002", out_indices=(1, 2)), shape)
    yield Entry("vit_tiny, features", "timm", lambda: Last("vit_tiny_patch16_224", out_indices=(0, 1)), shape)


def _torch_em() -> Iterator[Entry]:
    _torchvision()
    unet = importlib.import_module("torch_em.model.unet")

    def entry(name: str, cls: str, shape: tuple[int, ...], **options: Any) -> Entry:
        return Entry(name, "torch-em", lambda: getattr(unet, cls)(1, 2, initial_features=4, **options), shape)

    yield entry("UNet2d", "UNet2d", PLANE, depth=3)
    yield entry("UNet2d, norm=BatchNorm", "UNet2d", PLANE, depth=3, norm="BatchNorm")
    yield entry("UNet2d, norm=None", "UNet2d", PLANE, depth=3, norm=None)
    yield entry("UNet3d, norm=BatchNorm", "UNet3d", VOLUME, depth=2, norm="BatchNorm")
    factors = [[1, 2, 2], [2, 2, 2]]
    yield entry("AnisotropicUNet", "AnisotropicUNet", VOLUME, scale_factors=factors)
    yield entry("AnisotropicUNet, norm=BatchNorm", "AnisotropicUNet", VOLUME, scale_factors=factors, norm="BatchNorm")


def _careamics() -> Iterator[Entry]:
    _torchvision()
    unet = importlib.import_module("careamics.models.unet").UNet

    def entry(name: str, ndim: int, **options: Any) -> Entry:
        make = lambda: unet(conv_dims=ndim, num_channels_init=8, depth=2, **options)  # noqa: E731
        return Entry(name, "careamics", make, PLANE if ndim == 2 else VOLUME)

    yield entry("UNet, 2-D (N2V, CARE)", 2)
    yield entry("UNet, 3-D", 3)
    yield entry("UNet, 2-D, n2v2 (blurpool)", 2, n2v2=True)


def _instanseg() -> Iterator[Entry]:
    unet = importlib.import_module("instanseg.utils.models.InstanSeg_UNet").InstanSeg_UNet

    def entry(name: str, **options: Any) -> Entry:
        make = lambda: unet(3, [[2, 2, 1]], layers=[32, 16, 8, 8], **options)  # noqa: E731
        return Entry(name, "instanseg-torch", make, COLOURS)

    yield entry("InstanSeg_UNet")
    yield entry("InstanSeg_UNet, norm=INSTANCE", norm="INSTANCE")


def _cellseg() -> Iterator[Entry]:
    _torchvision()
    stardist = importlib.import_module("cellseg_models_pytorch.models.stardist.stardist_unet").stardist_nuclei
    make = lambda: stardist(8, 3, enc_name="resnet18", enc_pretrain=False)  # noqa: E731
    yield Entry("StarDist (stardist_nuclei), resnet18", "cellseg-models-pytorch", make, COLOURS)


def _cellpose() -> Iterator[Entry]:
    _torchvision()
    net = importlib.import_module("cellpose.resnet_torch").CPnet  # until version 3

    class First(importlib.import_module("torch").nn.Module):  # type: ignore[misc]
        """The flows, without the style vector."""

        def __init__(self, style: bool = True) -> None:
            super().__init__()
            self.net = net([2, 8, 16, 32], 3, 3)
            self.net.style_on = style

        def forward(self, image: Any) -> Any:
            return self.net(image)[0]

    yield Entry("CPnet (style vector)", "cellpose", First, (1, 128, 128, 2))
    yield Entry("CPnet, style_on=False", "cellpose", lambda: First(style=False), (1, 128, 128, 2))


def _spandrel() -> Iterator[Entry]:
    _torchvision()

    def entry(name: str, module: str, cls: str, **options: Any) -> Entry:
        found = importlib.import_module(f"spandrel.architectures.{module}")
        return Entry(name, "spandrel", lambda: getattr(found, cls)(**options), (1, 128, 128, 3))

    yield entry("ESRGAN", "ESRGAN", "ESRGAN", num_filters=8, num_blocks=2)
    yield entry("DRUNet", "DRUNet", "DRUNet", in_nc=3, out_nc=3, nc=[8, 8, 16, 16], nb=1)
    yield entry("DnCNN", "DnCNN", "DnCNN", in_nc=3, out_nc=3, nc=8)
    blocks = {"middle_blk_num": 1, "enc_blk_nums": [1, 1], "dec_blk_nums": [1, 1]}
    yield entry("NAFNet", "NAFNet", "NAFNet", width=8, **blocks)
    yield entry("RCAN", "RCAN", "RCAN", n_resgroups=1, n_resblocks=2, n_feats=16)
    yield entry("SwinIR", "SwinIR", "SwinIR", img_size=64, embed_dim=12, depths=[2], num_heads=[2], window_size=8)


def _vision() -> Iterator[Entry]:
    _torchvision()
    nets = importlib.import_module("torchvision.models.segmentation")
    nn = importlib.import_module("torch").nn

    class Out(nn.Module):  # type: ignore[name-defined]
        """The image among the outputs."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.net = getattr(nets, name)(weights=None, weights_backbone=None, num_classes=2)

        def forward(self, image: Any) -> Any:
            return self.net(image)["out"]

    for name in ("lraspp_mobilenet_v3_large", "deeplabv3_mobilenet_v3_large", "fcn_resnet50"):
        yield Entry(name, "torchvision", partial(Out, name), COLOURS)


FAMILIES = {
    "torch": _own,
    "monai": _monai,
    "dynamic-network-architectures": _nnunet,
    "pytorch3dunet": _pytorch3dunet,
    "segmentation-models-pytorch": _smp,
    "timm": _timm,
    "torch-em": _torch_em,
    "careamics": _careamics,
    "instanseg-torch": _instanseg,
    "cellseg-models-pytorch": _cellseg,
    "cellpose": _cellpose,
    "spandrel": _spandrel,
    "torchvision": _vision,
}
