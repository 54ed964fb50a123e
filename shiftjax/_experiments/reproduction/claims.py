"""What each experiment claims, the paper's and those beyond it, as checks on numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shiftjax._experiments.settings import DIMENSIONS, IMAGES, LEVELS, NEIGHBOURS, SAMPLING, SWEEP, WINDOWS

Rows = Sequence[Mapping[str, Any]]  # scores of one replica, a row per network and tile size
NO_SEAM, SEAM, FEW = 0.02, 0.5, 0.05


@dataclass(frozen=True)
class Check:
    """A score that has to lie in an interval in every row that it is about.

    Attributes:
        words: what is measured.
        score: its name in a row.
        least, most: the interval; both ends belong to it.
        of: what the rows that it is about have in these keys; without, it is about all of them.
    """

    words: str
    score: str
    least: float = -math.inf
    most: float = math.inf
    of: Mapping[str, Any] = field(default_factory=dict)

    @property
    def expected(self) -> str:
        """The interval in words."""
        if self.least == self.most:
            return f"{self.least:g}"
        if math.isinf(self.least) and math.isinf(self.most):
            return "no claim"
        ends = (("at least", self.least), ("at most", self.most))
        return ", ".join(f"{words} {end:g}" for words, end in ends if math.isfinite(end))

    def measure(self, rows: Rows) -> float:
        """The value among the rows that speaks most against the claim; NaN if one is NaN."""
        values = [float(row[self.score]) for row in rows if all(row[key] == value for key, value in self.of.items())]
        if any(map(math.isnan, values)):
            return math.nan
        return max(values, key=lambda value: max(self.least - value, value - self.most))

    def holds(self, value: float) -> bool:
        """Whether a value is as claimed; NaN never is."""
        return self.least <= value <= self.most


def _exactly(words: str, score: str, value: float) -> Check:
    return Check(words, score, value, value)


def _codes(number: float) -> Check:
    return _exactly("codes of whole discs", "codes", number)


_APART = "share of neighbouring discs told apart"
_SEAM = "seam disagreement"
_REPEATS = Check("embeddings one repeat apart differ by", "repeat", most=1e-3)
_COLLAPSE = (_codes(1), _exactly(_APART, "told_apart", 0))
_ALL_APART = Check(_APART, "told_apart", least=1 - FEW)
_MOSTLY_APART = Check(_APART, "told_apart", least=0.5)
_SEAMLESS = (Check(_SEAM, "seam_disagreement", most=NO_SEAM), Check("grid disagreement", "grid_disagreement", most=FEW))
_FOUND = (_exactly("false splits", "false_splits", 0), Check("AP50", "average_precision", least=0.9))
_SEAMS = Check("seam or grid disagreement", "seam_or_grid", least=SEAM)
_AP50 = Check("AP50", "average_precision")
_EXCESS = Check("excess of the jumps at seams over the whole image's", "seam_excess")
_LEGAL, _OTHER = {"legal_tile": True}, {"legal_tile": False}
_SWEPT = (
    Check("seam disagreement, multiples of the period", "seam_disagreement", most=NO_SEAM, of=_LEGAL),
    Check("seam disagreement, other tiles", "seam_disagreement", least=SEAM, of=_OTHER),
    Check("false splits, multiples of the period", "false_splits", 0, 0, of=_LEGAL),
    Check("false splits, other tiles", "false_splits", least=1, of=_OTHER),
)


def _window(size: int, period: int) -> Check:
    seams = {"least": SEAM} if size <= period else {"most": FEW}
    return Check(f"jump at the period's lines, window of {size} px", "line_jump", **seams, of={"train_window": size})


def _jump(network: str, *, seams: bool) -> Check:
    bound = {"least": SEAM} if seams else {"most": FEW}
    return Check(f"jump at the period's lines, {network}", "line_jump", **bound, of={"network": network})


def _share(levels: int, ndim: int | None = None) -> Check:
    """Of networks in two dimensions, or in so many, which is said then."""
    about = {"levels": levels} | ({} if ndim is None else {"ndim": ndim})
    words = f"share of the {2 ** (levels * (ndim or 2))} embeddings in use"
    return Check(f"{words}, {'' if ndim is None else f'd = {ndim}, '}l = {levels}", "share", most=1, of=about)


_SAME, _OTHERWISE = {"most": 1e-3}, {"least": 0.1}  # standard deviations of the output


def _differs(network: str, bound: Mapping[str, float], tiles: Mapping[str, Any], words: str = "all tiles") -> Check:
    about = {"network": network, **tiles}
    return Check(f"{network}: difference from the whole image, {words}", "differs_from_whole", **bound, of=about)


def _dips(network: str) -> tuple[Check, ...]:
    splits = f"{network}: false splits of other tiles, over those of whole periods"
    return (
        _differs(network, _SAME, _LEGAL, "whole periods"),
        _differs(network, _OTHERWISE, _OTHER, "other tiles"),
        Check(splits, "splits_over_legal", least=1, of={"network": network, **_OTHER}),
    )


_IMAGES = (
    *_dips("valid"),
    *_dips("instance norm, statistics frozen"),
    _differs("instance norm, statistics of each tile", _OTHERWISE, {}),
    _differs("same-padded", _OTHERWISE, {}),
    _differs("window of one period", _SAME, _LEGAL, "whole periods"),
    Check("window of one period: jump at the period's lines", "line_jump", of={"network": "window of one period"}),
    Check("valid: jump at the period's lines, whole periods", "line_jump", of={"network": "valid", **_LEGAL}),
    Check("valid: AP50, whole periods", "average_precision", of={"network": "valid", **_LEGAL}),
)


def _sampled(period: int) -> tuple[Check, ...]:
    every, off = 3 * period, 3 * period + 1  # tiles, in whole periods and not
    frozen, each = "polyphase, phases frozen", "polyphase, phases of each tile"

    def codes(network: str, **bound: float) -> Check:
        return Check(f"{network}: codes of whole discs", "codes", **bound, of={"network": network, "tile": every})

    def differs(network: str, tile: int, bound: Mapping[str, float]) -> Check:
        return _differs(network, bound, {"tile": tile}, f"tiles of {tile} px")

    return (
        codes("max pooling", least=period**2, most=period**2),
        codes("blur pooling", most=period**2),
        codes("dilation", least=1, most=1),
        codes(frozen, most=period**2),
        *(differs(name, every, _SAME) for name in ("max pooling", "blur pooling", "dilation", frozen)),
        *(differs(name, off, _OTHERWISE) for name in ("max pooling", "blur pooling", frozen)),
        differs("dilation", off, _SAME),
        differs(each, every, _OTHERWISE),
    )


# By the period of the network, so that one table serves both sizes.
_CLAIMS: Mapping[str, Callable[[int], tuple[Check, ...]]] = {
    "const_inp_fixed": lambda period: (_exactly("distinct embeddings", "codes", 1),),
    "const_inp_learned": lambda period: (_exactly("distinct embeddings", "codes", period**2), _REPEATS),
    "const_inp_same": lambda period: (
        Check("distinct embeddings", "codes", least=period**2 + 1),
        _exactly("distinct embeddings of the central 4 x 4 px", "centre", 1),
    ),
    "fl_spaced": lambda period: _COLLAPSE,
    "fl-1_spaced_learned": lambda period: (_codes(period**2), _ALL_APART, _REPEATS),
    "fl-1_spaced_fixed": lambda period: (_ALL_APART,),
    "fl_spaced_elastic": lambda period: (_MOSTLY_APART, *_SEAMLESS[:1], _EXCESS, _AP50),
    "spheres_no_noise": lambda period: _COLLAPSE,
    "spheres_noise": lambda period: (_MOSTLY_APART, *_SEAMLESS[:1], _EXCESS, _AP50),
    "spheres_noise_wrong_crop": lambda period: (_MOSTLY_APART, _SEAMS, _EXCESS, _AP50),
    "tile_consistent": lambda period: (*_SEAMLESS, *_FOUND),
    "tile_inconsistent_too_small": lambda period: (_SEAMS,),
    "tile_inconsistent_wrong_crop": lambda period: (_SEAMS,),
    SWEEP: lambda period: _SWEPT,
    WINDOWS: lambda period: tuple(
        _window(size, period) for size in (period - 1, period, period + 1, period + 2, 2 * period, 3 * period)
    ),
    NEIGHBOURS: lambda period: (
        _jump("one large window", seams=False),
        _jump("windows of a period", seams=False),
        _jump("windows of less", seams=True),
        _jump("one period alone", seams=True),
    ),
    LEVELS: lambda period: tuple(_share(levels) for levels in range(1, period.bit_length())),
    DIMENSIONS: lambda period: tuple(
        _share(levels, ndim) for ndim, most in ((1, 3), (2, 2), (3, 2)) for levels in range(1, most + 1)
    ),
    SAMPLING: _sampled,
    **dict.fromkeys(IMAGES, lambda period: _IMAGES),
}
NAMES = tuple(_CLAIMS)
BEYOND = (WINDOWS, NEIGHBOURS, LEVELS, DIMENSIONS, SAMPLING, *IMAGES)  # what the paper does not ask
PAPER = tuple(name for name in NAMES if name not in BEYOND)


def claims(name: str, period: int) -> tuple[Check, ...]:
    """The checks of one experiment, for a network of that period."""
    return _CLAIMS[name](period)


def judge(checks: Sequence[Check], replicas: Sequence[Rows]) -> dict[str, Any]:
    """Checks and replicas as a row of the table: values by check and replica, and in how many replicas all hold."""
    values = [[check.measure(rows) for rows in replicas] for check in checks]
    held = [[check.holds(v) for v in own] for check, own in zip(checks, values, strict=True)]
    return {
        "checks": [
            {"words": check.words, "expected": check.expected, "values": own, "holds": sum(hold)}
            for check, own, hold in zip(checks, values, held, strict=True)
        ],
        "holds": sum(map(all, zip(*held, strict=True))),
        "replicas": len(replicas),
    }
