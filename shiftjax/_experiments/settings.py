"""The experiments of the paper, each in its own size and in a small one that shows the same in seconds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import NamedTuple

from shiftjax._checks import one_of
from shiftjax._experiments.experiment import Experiment, Scene, Training
from shiftjax._experiments.sampling import SAMPLINGS

DEFAULT = "seams"
SWEEP = "tile_size_sweep"
# What the paper does not ask.
WINDOWS, NEIGHBOURS = "window_sweep", "neighbouring_windows"
LEVELS, DIMENSIONS = "codes_by_level", "codes_by_dimension"
SAMPLING = "other_sampling"
IMAGES = ("images_nuclei", "images_bacteria", "images_simulated")


@dataclass(frozen=True)
class _Size:
    """An experiment in one size.

    Attributes:
        trainings: of a network named like the experiment, or network name -> how it is trained.
        bw: of the paper's mean shift, whose kernel is exp(-r^2 / bw); ours is exp(-r^2 / 2 h^2).
        expected: instead of what the experiment expects in the paper's size.
    """

    trainings: Training | Mapping[str, Training]
    bw: float
    tiles: Sequence[int] = ()
    area: int = 96
    min_size: int = 0
    expected: str | None = None
    most: int | None = None


class _Row(NamedTuple):
    expected: str
    paper: _Size
    small: _Size


def _discs(training: Training, **changes: object) -> Training:
    return replace(training, scene=replace(training.scene, **changes))  # type: ignore[arg-type]


def _constant(training: Training, size: int, **changes: object) -> Training:
    return replace(training, scene=Scene("constant", size), input_size=size, **changes)  # type: ignore[arg-type]


_PAPER_DISCS = Scene("discs", 284, pitch=16, radius=5.0, origin=9)
_PAPER = Training(_PAPER_DISCS, 236, levels=4, features=16, learning_rate=1e-4, steps=60_000)
_PAPER_NOISY = _discs(replace(_PAPER, steps=100_000), size=292, noise=0.01)
_PAPER_TILES = replace(_PAPER, scene=replace(_PAPER_DISCS, pitch=13), input_size=204, crop=None, steps=20_000)
_PAPER_NARROW = replace(_PAPER_TILES, crop="top")
_PAPER_PITCH = replace(
    _PAPER, scene=replace(_PAPER_DISCS, size=220), input_size=220, levels=3, learning_rate=5e-5, steps=200_000
)
_PAPER_NUCLEI = Training(
    Scene("nuclei"), 332, levels=4, features=32, learning_rate=1e-4, steps=60_000, out_channels=4, crop=None
)
_CONSTANT = Training(Scene("constant", 236), 236, levels=4, features=3, learning_rate=1e-4, steps=2000, crop="every")
_CONSTANT_2 = replace(_CONSTANT, levels=2, decoder_convs=1, head_kernel_size=3, upsample="nearest", crop=None)

_SMALL_DISCS = Scene("discs", 96, pitch=7, radius=3.2, origin=3)  # 37 px each, the fewest that look round
_SMALL = Training(_SMALL_DISCS, 52, levels=2, features=8, learning_rate=2e-3, steps=3000, decay=True)
# The window has three discs a side and cuts most of them. If what is left of those counted, it would be told apart by
# its look, and whole discs would be cut in pieces for it.
_SMALL_WIDE = replace(_SMALL, scene=replace(_SMALL_DISCS, pitch=8, radius=3.0, origin=4), input_size=64, whole=True)
_SMALL_COLLAPSED = replace(_SMALL_WIDE, steps=500)
_SMALL_SEPARATED = _discs(replace(_SMALL_WIDE, steps=1500), pitch=7)
_SMALL_NOISY = _discs(replace(_SMALL_WIDE, steps=2000), noise=0.01)
_SMALL_NARROW = replace(_SMALL, input_size=44)
# Few features at full resolution and one large step up make codes by phase easier to learn than codes by look; binned,
# nuclei are smaller than a period.
_SMALL_NUCLEI = replace(
    _SMALL,
    scene=Scene("nuclei", binning=2),
    input_size=140,
    factors=(2, 8),
    features=6,
    growth=4,
    steps=2500,
    out_channels=4,
    clip=1.0,
)
# Period 8 in two levels. The sweep has tiles of twice and three times the pitch: with a disc's centre at the first
# pixel of every such tile, their seams cut discs, not the gaps between them.
_SWEPT_DISCS = Scene("discs", 128, pitch=7, radius=2.6, origin=0)
_SMALL_SWEEP = replace(_SMALL, scene=_SWEPT_DISCS, input_size=76, factors=(2, 4), features=12, crop=None)
_SMALL_CONSTANT = replace(_CONSTANT_2, learning_rate=1e-3, steps=1000)
# With 3 features, dead ReLUs merge two of the embeddings on some seeds.
_SMALL_LEARNED = replace(_CONSTANT, levels=2, features=8, decoder_convs=2, learning_rate=1e-3, steps=1000)


def _windows(training: Training) -> dict[str, Training]:
    """One training for each window that the loss sees: about one period, two of them, three."""
    (period,) = set(training.net().period)
    sizes = (period - 1, period, period + 1, period + 2, 2 * period, 3 * period)
    return {f"window_{size}": replace(training, kept=size) for size in sizes}


def _neighbours(training: Training) -> dict[str, Training]:
    """A loss over three periods: of one window, of windows of one period, of smaller ones; and of one period alone."""
    (period,) = set(training.net().period)
    (axis, *_) = training.net().legal_sizes(period + training.net().geometry[0].loss)
    apart = replace(training, input_size=min(size for size, output, _ in axis if output >= period), neighbours=3)
    return {
        "one large window": replace(training, kept=3 * period),
        "windows of a period": replace(apart, kept=period),
        "windows of less": replace(apart, kept=period - 1),
        "one period alone": replace(training, kept=period),
    }


def _levels(training: Training, sizes: Sequence[int], **changes: object) -> dict[str, Training]:
    """One training of a constant image for 1, 2, ... levels, each with its input size."""
    return {f"levels_{n}": _constant(training, size, levels=n, **changes) for n, size in enumerate(sizes, 1)}


def _dimensions(training: Training) -> dict[str, Training]:
    """The same in one to three dimensions."""
    sizes = {1: (24, 56, 108), 2: (24, 56), 3: (24, 48)}
    return {
        f"{name} in {ndim}-D": each
        for ndim, by_level in sizes.items()
        for name, each in _levels(training, by_level, ndim=ndim).items()
    }


def _samplings(training: Training) -> dict[str, Training]:
    """One training for each way to sample, with windows of one size."""
    window, _ = training.window
    trainings = {}
    for name in SAMPLINGS:
        other = replace(training, sampling=name)
        trainings[name] = replace(other, input_size=window + other.net().geometry[0].loss)
    return trainings


def _images(training: Training, kind: str, binning: int) -> dict[str, Training]:
    """The networks whose tiles are compared on labelled images."""
    (period,) = set(training.net().period)
    training = replace(training, scene=Scene(kind, binning=binning))
    return {
        "valid": training,
        "window of one period": replace(training, kept=period),
        "same-padded": replace(training, padding="SAME", input_size=6 * period),
        "instance norm": replace(training, norm="instance"),
    }


_TABLE = {
    "const_inp_fixed": _Row(
        "1 embedding",
        paper=_Size(_constant(_CONSTANT_2, 48, steps=1000), bw=0.5),
        small=_Size(_constant(_SMALL_CONSTANT, 48), bw=0.5),
    ),
    "const_inp_learned": _Row(
        "256 embeddings, each repeated 2 x 2",
        paper=_Size(_CONSTANT, bw=0.2),
        small=_Size(_constant(_SMALL_LEARNED, 56), bw=0.2, expected="16 embeddings, repeated with the period"),
    ),
    "const_inp_same": _Row(
        "many embeddings, by position; about 4 central px out of reach of the border agree",
        paper=_Size(_constant(_CONSTANT_2, 40, padding="SAME", steps=120_000), bw=0.5),
        small=_Size(_constant(replace(_SMALL_CONSTANT, steps=400), 40, padding="SAME"), bw=0.5),
    ),
    "fl_spaced": _Row(
        "all discs collapse to one embedding",
        paper=_Size(_PAPER_PITCH, bw=2.5),
        small=_Size(_SMALL_COLLAPSED, bw=2.5, tiles=(12,)),
    ),
    "fl-1_spaced_learned": _Row(
        "discs separated; the code repeats every 8 discs",
        paper=_Size(_discs(_PAPER_PITCH, pitch=15), bw=2.5),
        small=_Size(_SMALL_SEPARATED, bw=2.5, tiles=(12,), expected="discs separated; the code repeats every 4 discs"),
    ),
    "fl-1_spaced_fixed": _Row(
        "discs separated",
        paper=_Size(_discs(replace(_PAPER_PITCH, upsample="nearest"), pitch=15), bw=2.5),
        small=_Size(replace(_SMALL_SEPARATED, upsample="nearest"), bw=2.5, tiles=(12,)),
    ),
    "fl_spaced_elastic": _Row(
        "separated, no seams",
        paper=_Size(_discs(replace(_PAPER, learning_rate=5e-5, steps=400_000), elastic=20), bw=1.0, tiles=(48,)),
        small=_Size(_discs(replace(_SMALL_WIDE, steps=2000), elastic=10), bw=2.0, tiles=(12,)),
    ),
    "spheres_no_noise": _Row(
        "all discs collapse to one embedding",
        paper=_Size(_PAPER, bw=0.2, tiles=(48,)),
        small=_Size(_SMALL_COLLAPSED, bw=2.0, tiles=(12,)),
    ),
    "spheres_noise": _Row(
        "separated, no seams",
        paper=_Size(_PAPER_NOISY, bw=0.2, tiles=(48,)),
        small=_Size(_SMALL_NOISY, bw=2.0, tiles=(12,)),
    ),
    "spheres_noise_wrong_crop": _Row(
        "separated, but seams",
        paper=_Size(replace(_PAPER_NOISY, crop=None), bw=0.2, tiles=(52,), area=104),
        small=_Size(_SMALL_NOISY, bw=2.0, tiles=(13,)),
    ),
    "tile_consistent": _Row(
        "no seams",
        paper=_Size(_PAPER_TILES, bw=0.2, tiles=(16, 32)),
        small=_Size(_SMALL, bw=2.0, tiles=(4, 8)),
    ),
    "tile_inconsistent_too_small": _Row(
        "seams",
        paper=_Size(_PAPER_NARROW, bw=0.1, tiles=(16, 32)),
        small=_Size(_SMALL_NARROW, bw=1.0, tiles=(4, 8)),  # half that of tile_consistent, as in the paper
    ),
    "tile_inconsistent_wrong_crop": _Row(
        "seams",
        paper=_Size(replace(_PAPER_TILES, steps=33_000), bw=0.2, tiles=(20, 17, 19), area=100),
        small=_Size(_SMALL, bw=2.0, tiles=(6, 9, 11)),
    ),
    DEFAULT: _Row(
        "no seams only where the training window is larger than the period and tiles are multiples of it",
        paper=_Size(
            {"tile_consistent": _PAPER_TILES, "tile_inconsistent_too_small": _PAPER_NARROW},
            bw=0.2,
            tiles=(16, 32, 17, 19, 20),
        ),
        small=_Size(
            {"tile_consistent": _SMALL, "tile_inconsistent_too_small": _SMALL_NARROW}, bw=2.0, tiles=(4, 8, 6, 9)
        ),
    ),
    "nuclei": _Row(
        "the whole image's output where tiles are multiples of the period; seams, and nuclei cut there, elsewhere",
        paper=_Size(_PAPER_NUCLEI, bw=2.0, tiles=(128, 144, 120, 132, 136, 140, 148), min_size=50),
        small=_Size(_SMALL_NUCLEI, bw=2.0, tiles=(16, 32, 12, 20, 24, 28), min_size=12),
    ),
    SWEEP: _Row(
        "seam disagreement and false splits dip at the multiples of the period, and nowhere else",
        paper=_Size(_PAPER_NUCLEI, bw=2.0, tiles=range(120, 149), min_size=50),
        small=_Size(_SMALL_SWEEP, bw=2.0, tiles=range(8, 25), area=112),
    ),
    WINDOWS: _Row(
        "seams where the training window is at most the period, none where it is a pixel larger",
        paper=_Size(_windows(replace(_PAPER_TILES, input_size=236)), bw=0.2, tiles=(16,)),
        small=_Size(_windows(_SMALL), bw=1.0, tiles=(8,)),
    ),
    NEIGHBOURS: _Row(
        "windows of one period, side by side under one loss, train as one large window does; smaller ones do not",
        paper=_Size(_neighbours(replace(_PAPER_TILES, input_size=236)), bw=0.2, tiles=(16,), most=3),
        small=_Size(_neighbours(_SMALL), bw=1.0, tiles=(8,), most=3),
    ),
    LEVELS: _Row(
        "never more than f^(2l) embeddings; how many of them training uses",
        paper=_Size(_levels(_CONSTANT, (24, 56, 108, 236)), bw=0.2),
        small=_Size(_levels(_SMALL_LEARNED, (24, 56, 108)), bw=0.2),
    ),
    DIMENSIONS: _Row(
        "never more than f^(dl) embeddings in d dimensions; how many of them training uses",
        paper=_Size(_dimensions(_CONSTANT), bw=0.2, most=3),
        small=_Size(_dimensions(replace(_SMALL_LEARNED, steps=300)), bw=0.2, most=3),
    ),
    SAMPLING: _Row(
        "blur and polyphase sampling leave the period as it is, and with it codes and seams; dilation has neither",
        paper=_Size(_samplings(_discs(_PAPER_PITCH, pitch=15)), bw=2.5, tiles=(24, 25), most=3),
        small=_Size(_samplings(_SMALL_SEPARATED), bw=2.5, tiles=(12, 13), most=3),
    ),
} | {
    name: _Row(
        "only tiles of whole periods of a valid network, trained with a larger window and with frozen statistics, "
        "repeat the whole image",
        paper=_Size(_images(_PAPER_NUCLEI, kind, 1), bw=2.0, tiles=range(120, 149), min_size=50, most=3),
        small=_Size(
            _images(replace(_SMALL_NUCLEI, steps=1500), kind, binning),
            bw=2.0,
            tiles=(12, 14, 16, 18, 24, 30, 32, 34),
            min_size=12,
            most=3,
        ),
    )
    for name, kind, binning in zip(IMAGES, ("nuclei", "bacteria", "simulated"), (2, 4, 1), strict=True)
}


def _experiment(name: str, expected: str, size: _Size) -> Experiment:
    trainings = {name: size.trainings} if isinstance(size.trainings, Training) else size.trainings
    bandwidth = math.sqrt(size.bw / 2)
    expected = size.expected or expected
    return Experiment(
        name,
        MappingProxyType(dict(trainings)),
        bandwidth,
        expected,
        tuple(size.tiles),
        size.area,
        size.min_size,
        size.most,
    )


EXPERIMENTS: Mapping[str, Mapping[str, Experiment]] = MappingProxyType(
    {
        "small": MappingProxyType({name: _experiment(name, row.expected, row.small) for name, row in _TABLE.items()}),
        "paper": MappingProxyType({name: _experiment(name, row.expected, row.paper) for name, row in _TABLE.items()}),
    }
)


def find(name: str, size: str) -> Experiment:
    """The experiment of that name and size; an unknown one raises a ValueError that lists the known ones."""
    one_of("size", size, tuple(EXPERIMENTS))
    one_of("experiment", name, tuple(EXPERIMENTS[size]))
    return EXPERIMENTS[size][name]
