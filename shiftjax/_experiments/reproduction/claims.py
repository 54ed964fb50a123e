"""What each experiment of the paper claims, as checks on numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shiftjax._experiments.settings import SWEEP

Rows = Sequence[Mapping[str, Any]]  # scores of one replica, a row per tile size
NO_SEAM, SEAM, FEW = 0.02, 0.5, 0.05


@dataclass(frozen=True)
class Check:
    """A score that has to lie in an interval for every tile size.

    Attributes:
        words: what is measured.
        score: its name in a row.
        least, most: the interval; both ends belong to it.
        tiles: which tiles it is about: "legal", "other", or all of them.
    """

    words: str
    score: str
    least: float = -math.inf
    most: float = math.inf
    tiles: str = "all"

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
        """The value among the tile sizes that speaks most against the claim; NaN if one is NaN."""
        which = {"all": (True, False), "legal": (True,), "other": (False,)}[self.tiles]
        values = [float(row[self.score]) for row in rows if row.get("legal_tile", True) in which]
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
_SWEPT = (
    Check("seam disagreement, multiples of the period", "seam_disagreement", most=NO_SEAM, tiles="legal"),
    Check("seam disagreement, other tiles", "seam_disagreement", least=SEAM, tiles="other"),
    Check("false splits, multiples of the period", "false_splits", 0, 0, tiles="legal"),
    Check("false splits, other tiles", "false_splits", least=1, tiles="other"),
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
}
NAMES = tuple(_CLAIMS)


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
