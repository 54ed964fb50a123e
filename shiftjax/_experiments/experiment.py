"""What an experiment is: images, a network and its training, and the tiles to stitch with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shiftjax._experiments.sampling import Sampled
from shiftjax.nets import UNet

DELTA_VAR, DELTA_DIST, GAMMA = 0.0, 3.0, 1e-4  # of the loss, in every experiment


@dataclass(frozen=True)
class Scene:
    """What the images show.

    Attributes:
        kind: "constant", "discs", or the name of labelled images.
        size: of an image, in pixels per axis.
        pitch: of the square lattice of the discs' centres, in pixels.
        radius: a disc is all pixels closer than this to its centre.
        origin: the first centre, in pixels along both axes.
        elastic: the discs are deformed by control points this many pixels apart; 0: they are not.
        noise: its variance.
        binning: real images are first averaged over blocks of so many pixels per axis; all sizes count blocks then.
    """

    kind: str
    size: int = 0
    pitch: int = 0
    radius: float = 0.0
    origin: int = 0
    elastic: int = 0
    noise: float = 0.0
    binning: int = 1


@dataclass(frozen=True)
class Training:
    """One network and how it is trained: by Adam, on random crops of `input_size` px, with a loss on the whole output.

    `decay` lets the learning rate fall to zero along a cosine, so that training settles in few steps; `clip` bounds the
    norm of the gradient. With `whole`, objects that the output window cuts count for nothing: in a small window they
    are most of all, and what is left of them looks different. `kept` narrows the window: the loss sees so many pixels
    of the output per axis, and not the rest. With `neighbours` the batch is that many crops per axis, side by side, and
    the loss sees their windows put together. `sampling` is that of `Sampled`; without, the network
    is a `UNet`. The other options are those of `UNet`.
    """

    scene: Scene
    input_size: int
    levels: int
    features: int
    learning_rate: float
    steps: int
    decoder_convs: int | None = None
    head_kernel_size: int = 1
    upsample: str = "learned"
    padding: str = "VALID"
    crop: str | None = "top"
    out_channels: int = 3
    factors: tuple[int, ...] | None = None  # of the levels, 2 by default
    growth: int = 2
    decay: bool = False
    clip: float | None = None
    whole: bool = False
    kept: int | None = None
    neighbours: int = 1
    norm: str | None = None
    ndim: int = 2
    sampling: str | None = None

    def net(self, **changes: object) -> UNet:
        """The network, with `changes` to its options."""
        names = ("features", "growth", "decoder_convs", "head_kernel_size", "upsample", "padding", "crop", "norm")
        options: dict[str, Any] = {name: getattr(self, name) for name in names}
        options |= {"factors": self.factors or (2,) * self.levels, "ndim": self.ndim}
        if self.sampling is not None:
            return Sampled(self.out_channels, sampling=self.sampling, **{**options, **changes})
        return UNet(self.out_channels, **{**options, **changes})

    @property
    def window(self) -> tuple[int, int]:
        """Size in pixels of the output of one crop that the loss sees, and its offset in the input."""
        axis, *_ = self.net().legal_sizes(self.input_size)
        return next((self.kept or output, offset) for size, output, offset in axis if size == self.input_size)


@dataclass(frozen=True)
class Experiment:
    """Networks to train and what to do with them.

    Attributes:
        trainings: network name -> how it is trained; the same name is the same training in every experiment.
        bandwidth: of mean shift, a length in the embedding.
        expected: what the paper saw, in words.
        tiles: output tile sizes to stitch with, legal or not, in pixels; without any, one output window is examined.
        area: pixels of the test image to score, per axis.
        min_size: predicted instances of fewer pixels are dropped.
        most: seeds, where each takes minutes.
    """

    name: str
    trainings: Mapping[str, Training]
    bandwidth: float
    expected: str
    tiles: tuple[int, ...] = ()
    area: int = 96
    min_size: int = 0
    most: int | None = None
