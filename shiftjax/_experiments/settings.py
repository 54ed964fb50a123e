"""The experiments of the paper as settings: in its size, and in a small one that shows the same in seconds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from shiftjax._checks import one_of
from shiftjax.nets._unet import UNet

DEFAULT = "seams"
SWEEP = "tile_size_sweep"
DELTA_VAR, DELTA_DIST, GAMMA = 0.0, 3.0, 1e-4  # of the loss, in every experiment


@dataclass(frozen=True)
class Scene:
    """What the images show. `kind` is "constant", "discs" or "nuclei"; sizes are in input pixels.

    A disc is all pixels closer than `radius` to its centre; centres lie on a lattice of `pitch`, the first at `origin`.
    Real images are first averaged over blocks of `binning` pixels per axis, and sizes are then in those.
    """

    kind: str
    size: int = 0
    pitch: int = 0
    radius: float = 0.0
    origin: int = 0
    elastic: bool = False
    noise: float = 0.0
    binning: int = 1


@dataclass(frozen=True)
class Training:
    """One network and how it is trained: Adam, on random crops of `input_size` px, on the whole output window.

    `decay` lets the learning rate fall to zero along a cosine, so that few steps settle; `clip` bounds the norm of the
    gradient.
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

    def net(self, **changes: object) -> UNet:
        """The network; `changes` replace its options."""
        options = {
            "features": self.features,
            "factors": self.factors or (2,) * self.levels,
            "growth": self.growth,
            "decoder_convs": self.decoder_convs,
            "head_kernel_size": self.head_kernel_size,
            "upsample": self.upsample,
            "padding": self.padding,
            "crop": self.crop,
        }
        return UNet(self.out_channels, **{**options, **changes})  # type: ignore[arg-type]

    @property
    def window(self) -> tuple[int, int]:
        """Size of the output window in pixels, and its offset in the input."""
        (axis, _) = self.net().legal_sizes(self.input_size)
        return next((output, offset) for size, output, offset in axis if size == self.input_size)


@dataclass(frozen=True)
class Experiment:
    """Networks to train and what to do with them.

    Attributes:
        trainings: by the name of the network.
        tiles: output tile sizes to stitch with, legal or not, in pixels; none: the network's output is looked at whole.
        area: pixels of the test image, per axis.
        bandwidth: of mean shift, a length in the embedding.
        min_size: found instances of fewer pixels are dropped.
        expected: what the paper saw, in words.
    """

    name: str
    trainings: Mapping[str, Training]
    bandwidth: float
    expected: str
    tiles: tuple[int, ...] = ()
    area: int = 96
    min_size: int = 0


def _bandwidth(bw: float) -> float:
    """The paper's kernel exp(-r^2 / bw) as a length h: exp(-r^2 / 2 h^2)."""
    return math.sqrt(bw / 2)


_PAPER_DISCS = Scene("discs", 284, pitch=16, radius=5.0, origin=9)
_PAPER = Training(_PAPER_DISCS, 236, levels=4, features=16, learning_rate=1e-4, steps=60_000)
_PAPER_TILES = replace(_PAPER, scene=replace(_PAPER_DISCS, pitch=13), input_size=204, crop=None, steps=20_000)
_PAPER_PITCH = replace(_PAPER, scene=replace(_PAPER_DISCS, size=220), input_size=220, levels=3, learning_rate=5e-5)
_PAPER_NUCLEI = Training(
    Scene("nuclei"), 332, levels=4, features=32, learning_rate=1e-4, steps=60_000, out_channels=4, crop=None
)
_CONSTANT = Training(Scene("constant", 236), 236, levels=4, features=3, learning_rate=1e-4, steps=2000, crop="every")
_CONSTANT_2 = replace(_CONSTANT, levels=2, decoder_convs=1, head_kernel_size=3, upsample="nearest", crop=None)

_SMALL_DISCS = Scene("discs", 96, pitch=5, radius=math.sqrt(5), origin=2)
_SMALL = Training(_SMALL_DISCS, 52, levels=2, features=8, learning_rate=2e-3, steps=3000, decay=True)
_SMALL_WIDE = replace(_SMALL, scene=replace(_SMALL_DISCS, pitch=8, radius=3.0, origin=4), input_size=64)
_SMALL_NARROW = replace(_SMALL, input_size=44)
# Period 8 in two levels. Tiles of twice or three times the pitch are in the sweep; with a disc's centre at the first
# pixel of every such tile their seams cut discs, not the gaps between them.
_SMALL_SWEEP = replace(
    _SMALL,
    scene=Scene("discs", 128, pitch=7, radius=2.6, origin=0),
    input_size=76,
    factors=(2, 4),
    features=12,
    crop=None,
)
_SMALL_CONSTANT = replace(_CONSTANT_2, learning_rate=1e-3, steps=1000)


def _discs(training: Training, **changes: object) -> Training:
    return replace(training, scene=replace(training.scene, **changes))  # type: ignore[arg-type]


def _constant(training: Training, size: int, **changes: object) -> Training:
    return replace(training, scene=Scene("constant", size), input_size=size, **changes)  # type: ignore[arg-type]


def _experiment(
    name: str, expected: str, bw: float, training: Training, tiles: tuple[int, ...] = (), area: int = 96
) -> Experiment:
    return Experiment(name, MappingProxyType({name: training}), _bandwidth(bw), expected, tiles, area)


def _nuclei(training: Training, tiles: tuple[int, ...], min_size: int = 50) -> Experiment:
    expected = (
        "the whole image's output where tiles are multiples of the period; seams, and nuclei cut there, elsewhere"
    )
    return Experiment("nuclei", MappingProxyType({"nuclei": training}), 1.0, expected, tiles, min_size=min_size)


def _sweep(training: Training, tiles: range, bandwidth: float = 1.0, area: int = 96, min_size: int = 0) -> Experiment:
    expected = "seam disagreement and false splits dip at the multiples of the period, and nowhere else"
    return Experiment(SWEEP, MappingProxyType({SWEEP: training}), bandwidth, expected, tuple(tiles), area, min_size)


def _paper() -> list[Experiment]:
    return [
        _experiment("const_inp_fixed", "1 embedding", 0.5, _constant(_CONSTANT_2, 48, steps=1000)),
        _experiment("const_inp_learned", "256 embeddings, each repeated 2 x 2", 0.2, _CONSTANT),
        _experiment(
            "const_inp_same",
            "many embeddings, by position; about 4 central px out of reach of the border agree",
            0.5,
            _constant(_CONSTANT_2, 40, padding="SAME", steps=120_000),
        ),
        _experiment("fl_spaced", "all discs collapse to one embedding", 2.5, replace(_PAPER_PITCH, steps=200_000)),
        _experiment(
            "fl-1_spaced_learned",
            "discs separated; the code repeats every 8 discs",
            2.5,
            _discs(replace(_PAPER_PITCH, steps=200_000), pitch=15),
        ),
        _experiment(
            "fl-1_spaced_fixed",
            "discs separated",
            2.5,
            _discs(replace(_PAPER_PITCH, steps=200_000, upsample="nearest"), pitch=15),
        ),
        _experiment(
            "fl_spaced_elastic",
            "separated, no seams",
            1.0,
            _discs(replace(_PAPER, learning_rate=5e-5, steps=400_000), elastic=True),
            (48,),
        ),
        _experiment("spheres_no_noise", "all discs collapse to one embedding", 0.2, _PAPER, (48,)),
        _experiment(
            "spheres_noise",
            "separated, no seams",
            0.2,
            _discs(replace(_PAPER, steps=100_000), size=292, noise=0.01),
            (48,),
        ),
        _experiment(
            "spheres_noise_wrong_crop",
            "separated, but seams",
            0.2,
            _discs(replace(_PAPER, steps=100_000, crop=None), size=292, noise=0.01),
            (52,),
            104,
        ),
        _experiment("tile_consistent", "no seams", 0.2, _PAPER_TILES, (16, 32)),
        _experiment("tile_inconsistent_too_small", "seams", 0.1, replace(_PAPER_TILES, crop="top"), (16, 32)),
        _experiment(
            "tile_inconsistent_wrong_crop", "seams", 0.2, replace(_PAPER_TILES, steps=33_000), (20, 17, 19), 100
        ),
        Experiment(
            DEFAULT,
            MappingProxyType(
                {"tile_consistent": _PAPER_TILES, "tile_inconsistent_too_small": replace(_PAPER_TILES, crop="top")}
            ),
            _bandwidth(0.2),
            "no seams only where the training window is larger than the period and tiles are multiples of it",
            (16, 32, 17, 19, 20),
        ),
        _nuclei(_PAPER_NUCLEI, (128, 144, 120, 132, 136, 140, 148)),
        _sweep(_PAPER_NUCLEI, range(120, 149), min_size=50),
    ]


def _small() -> list[Experiment]:
    noisy = _discs(_SMALL_WIDE, noise=0.01)
    return [
        _experiment("const_inp_fixed", "1 embedding", 0.5, _constant(_SMALL_CONSTANT, 48)),
        _experiment(
            "const_inp_learned",
            "16 embeddings, repeated with the period",
            0.2,
            _constant(
                _SMALL_CONSTANT,
                56,
                features=8,  # with 3, dead ReLUs merge two of the embeddings on some seeds
                upsample="learned",
                decoder_convs=2,
                head_kernel_size=1,
                crop="every",
            ),
        ),
        _experiment(
            "const_inp_same",
            "many embeddings, by position; about 4 central px out of reach of the border agree",
            0.5,
            _constant(_SMALL_CONSTANT, 40, padding="SAME"),
        ),
        _experiment("fl_spaced", "all discs collapse to one embedding", 2.5, _SMALL_WIDE),
        _experiment(
            "fl-1_spaced_learned",
            "discs separated; the code repeats every 4 discs",
            2.5,
            _discs(_SMALL_WIDE, pitch=7),
        ),
        _experiment(
            "fl-1_spaced_fixed", "discs separated", 2.5, replace(_discs(_SMALL_WIDE, pitch=7), upsample="nearest")
        ),
        _experiment("fl_spaced_elastic", "separated, no seams", 2.0, _discs(_SMALL_WIDE, elastic=True), (12,)),
        _experiment("spheres_no_noise", "all discs collapse to one embedding", 2.0, _SMALL_WIDE, (12,)),
        _experiment("spheres_noise", "separated, no seams", 2.0, noisy, (12,)),
        _experiment("spheres_noise_wrong_crop", "separated, but seams", 2.0, noisy, (13,)),
        _experiment("tile_consistent", "no seams", 2.0, _SMALL, (4, 8)),
        _experiment("tile_inconsistent_too_small", "seams", 2.0, _SMALL_NARROW, (4, 8)),
        _experiment("tile_inconsistent_wrong_crop", "seams", 2.0, _SMALL, (6, 7, 9)),
        Experiment(
            DEFAULT,
            MappingProxyType({"tile_consistent": _SMALL, "tile_inconsistent_too_small": _SMALL_NARROW}),
            _bandwidth(2.0),
            "no seams only where the training window is larger than the period and tiles are multiples of it",
            (4, 8, 6, 7, 9),
        ),
        # Few features at full resolution and one large step up make codes by phase easier to learn than codes by look;
        # binned, nuclei are smaller than a period.
        _nuclei(
            Training(
                Scene("nuclei", binning=2),
                140,
                levels=2,
                factors=(2, 8),
                features=6,
                growth=4,
                learning_rate=2e-3,
                steps=2500,
                out_channels=4,
                decay=True,
                clip=1.0,
            ),
            (16, 32, 12, 20, 24, 28),
            min_size=12,
        ),
        _sweep(_SMALL_SWEEP, range(8, 25), _bandwidth(2.0), area=112),
    ]


EXPERIMENTS: Mapping[str, Mapping[str, Experiment]] = MappingProxyType(
    {
        "small": MappingProxyType({e.name: e for e in _small()}),
        "paper": MappingProxyType({e.name: e for e in _paper()}),
    }
)


def find(name: str, size: str) -> Experiment:
    """The experiment of that name and size; an unknown one raises a ValueError that lists the known."""
    one_of("size", size, tuple(EXPERIMENTS))
    one_of("experiment", name, tuple(EXPERIMENTS[size]))
    return EXPERIMENTS[size][name]
