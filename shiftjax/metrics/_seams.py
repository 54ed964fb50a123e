"""Whether cuts through objects lie where tiles meet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from shiftjax import _checks
from shiftjax._host import host, host_embedding, host_labels, same_shape
from shiftjax._typing import ArrayLike, Integer, Num


class SeamDisagreement(NamedTuple):
    """How neighbouring pixels of one object disagree, at seams and elsewhere; see `seam_disagreement`.

    Attributes:
        value: 0 where cuts at seams are no likelier than elsewhere, 1 where every crossing object is cut.
        grid: 0 where cuts are as likely at all offsets within a tile, 1 where some line of the tile always cuts.
        rate_seam: r_S, mean disagreement across seams.
        rate_inside: r_I, mean disagreement off the seams and off the multiples of the period.
        pairs_seam: pairs of pixels behind r_S.
        pairs_inside: pairs of pixels behind r_I.
        profile: per axis k: r(k, c) for the offsets c within a tile, `(offset,)`; NaN where there is no pair.
        pairs: per axis k: number of pairs behind each r(k, c), `(offset,)`.
    """

    value: float
    grid: float
    rate_seam: float
    rate_inside: float
    pairs_seam: int
    pairs_inside: int
    profile: tuple[np.ndarray, ...]
    pairs: tuple[np.ndarray, ...]


class _Axis(NamedTuple):
    """The pairs of neighbours along one axis, by their offset c within a tile; arrays `(offset,)`."""

    total: np.ndarray  # disagreement, summed
    pairs: np.ndarray
    inside: np.ndarray  # whether the offset is neither a seam nor a multiple of the period

    @property
    def profile(self) -> np.ndarray:
        return np.divide(self.total, self.pairs, out=np.full(len(self.pairs), np.nan), where=self.pairs > 0)


def seam_disagreement(
    found: Num[ArrayLike, "..."], plan: Any, *, true: Integer[ArrayLike, "batch *space"] | None = None
) -> SeamDisagreement:
    """Disagreement of neighbouring pixels of one object across seams, in excess of that elsewhere.

    Along axis k the pair (u - e_k, u) has the offset `c = (u_k - origin_k) mod tile_stride_k`, so that c = 0 crosses a
    seam. It counts when both pixels lie in one true instance (without `true`: both are foreground). It disagrees by
    `L(u) != L(u - e_k)` for labels and by `|E(u) - E(u - e_k)| / s` for embeddings, where s is the root mean square
    distance of two random foreground pixels, `s^2 = 2 * sum over channels of the variance`.

    `r_S` is the mean over c = 0, `r_I` over the other c that are no multiple of the period (all others where the period
    is 1), pooled over axes and images; where a network draws lines at every period, counting those as inside would hide
    a seam. The value is `(r_S - r_I) / (1 - r_I)` for labels, `r_S - r_I` for embeddings.
    `grid` is the largest over the axes of `(max_c - median_c) / (1 - median_c)` of the profile `r(k, c)`; it also shows
    lines inside the tiles, which a network draws at every period when it was trained at a window of one period.

    Both are NaN where the data cannot tell: no pair at the seams or none elsewhere (tiles as large as the pitch of a
    lattice), an embedding that is constant on the foreground, or objects cut at every pixel. Labels that run objects
    together agree everywhere and give 0, so read this number beside `split_merge_counts`.

    Args:
        found: what the network found, stitched: labels `(batch, *space)`, integers, or an embedding
            `(batch, *space, channel)`.
        plan: the tiles: anything with `tile_stride`, `origin` and `period`, in output pixels per spatial axis.
        true: true labels `(batch, *space)`; needed for an embedding.

    Returns:
        The two scores, with the rates, the numbers of pairs and the profile `(offset,)` per axis behind them.

    Raises:
        ValueError: for shapes that do not agree with the plan or the truth, labels that are not integers >= 0, an
            embedding that is not finite or comes without truth, or a plan without the three fields.
    """
    stride, origin, period = _fields(plan)
    values, objects, scale = _prepare(host("found", found), true, len(stride))
    axes = [_axis(values, objects, scale, k, stride[k], origin[k] % stride[k], period[k]) for k in range(len(stride))]
    rate_seam, pairs_seam = _rate((axis.total[0], axis.pairs[0]) for axis in axes)
    rate_inside, pairs_inside = _rate((axis.total[axis.inside].sum(), axis.pairs[axis.inside].sum()) for axis in axes)
    value = rate_seam - rate_inside
    if scale is None or rate_inside == 1:  # NaN at 1, for embeddings too: nothing is left for a seam to add
        value = _ratio(value, 1 - rate_inside)
    profile = tuple(axis.profile for axis in axes)
    pairs = tuple(axis.pairs for axis in axes)
    return SeamDisagreement(value, _grid(profile), rate_seam, rate_inside, pairs_seam, pairs_inside, profile, pairs)


def _fields(plan: Any) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Stride, origin and period of the tiles, per axis."""
    missing = [name for name in ("tile_stride", "origin", "period") if not hasattr(plan, name)]
    if missing:
        lacking = f"a {type(plan).__name__} without {' and '.join(missing)}"
        _checks.fail("plan", "an object with tile_stride, origin and period", lacking, "make one with plan_tiles")
    ndim = len(plan.tile_stride)
    stride = _checks.per_axis("plan.tile_stride", tuple(plan.tile_stride), ndim)
    origin = _checks.per_axis("plan.origin", tuple(plan.origin), ndim, least=-(2**62))  # any integer will do
    return stride, origin, _checks.per_axis("plan.period", tuple(plan.period), ndim)


def _prepare(found: np.ndarray, true: Any, ndim: int) -> tuple[np.ndarray, np.ndarray, float | None]:
    """What is compared `(batch, *space, channel)`, the objects `(batch, *space)`, and s (None for labels)."""
    if found.ndim not in (ndim + 1, ndim + 2):
        expected = f"labels or an embedding over the plan's {ndim} axes, {ndim + 1} or {ndim + 2} axes in all"
        _checks.fail("found", expected, f"shape {found.shape}")
    if found.ndim == ndim + 1:
        labels = host_labels("found", found)
        if true is None:
            return labels[..., None], (labels > 0).astype(np.int8), None  # the foreground as one object
        objects = host_labels("true", true)
        same_shape("true", objects.shape, "found", labels.shape)
        return labels[..., None], objects, None
    if true is None:
        _checks.fail("true", "true labels beside an embedding", None, "pass true=, or cluster first and pass labels")
    objects = host_labels("true", true)
    embedding = host_embedding("found", found, "true", objects.shape)
    return embedding, objects, _spread(embedding[objects > 0], found.dtype)


def _spread(foreground: np.ndarray, dtype: Any) -> float:
    """s, the root mean square distance of two random pixels of `foreground` `(pixel, channel)`; NaN where it is 0."""
    if len(foreground) == 0:
        return float("nan")
    # The variance of what is left of the first pixel: of large, nearly equal numbers it would be rounding alone.
    spread = float(np.sqrt(2 * np.var(foreground - foreground[0], axis=0).sum()))
    # A collapsed network differs by the rounding of its own arithmetic; divided by s that would look like a signal.
    exact = jnp.issubdtype(dtype, jnp.integer)
    rounding = 0.0 if exact else 16 * float(jnp.finfo(dtype).eps) * float(np.abs(foreground).max())
    return spread if spread > rounding else float("nan")


def _axis(
    values: np.ndarray, objects: np.ndarray, scale: float | None, k: int, stride: int, origin: int, period: int
) -> _Axis:
    """Sums over the pairs along spatial axis `k`."""
    n = objects.shape[k + 1]
    before, after = np.arange(n - 1), np.arange(1, n)
    earlier, later = objects.take(before, k + 1), objects.take(after, k + 1)
    in_one_object = (later == earlier) & (earlier > 0)
    a, b = values.take(before, k + 1), values.take(after, k + 1)
    disagreement = (a != b)[..., 0] if scale is None else np.linalg.norm(b - a, axis=-1) / scale
    other_axes = tuple(axis for axis in range(objects.ndim) if axis != k + 1)
    offset = (after - origin) % stride
    total = np.bincount(offset, np.where(in_one_object, disagreement, 0).sum(other_axes), minlength=stride)
    pairs = np.bincount(offset, in_one_object.sum(other_axes), minlength=stride).astype(np.int64)
    c = np.arange(stride)
    return _Axis(total, pairs, (c != 0) & ((c % period != 0) | (period == 1)))


def _rate(sums: Iterator[tuple[float, int]]) -> tuple[float, int]:
    """Pooled mean of the (total, pairs) of all axes, and the number of pairs; NaN without any."""
    totals, pairs = zip(*sums, strict=True)
    count = int(sum(pairs))
    return _ratio(float(sum(totals)), count), count


def _grid(profile: tuple[np.ndarray, ...]) -> float:
    """Largest excess of one offset over the median offset, over the axes that have pairs."""
    known = [r[~np.isnan(r)] for r in profile]
    excess = [_ratio(r.max() - np.median(r), 1 - np.median(r)) for r in known if len(r)]
    return float(np.max(excess)) if excess else float("nan")


def _ratio(part: float, whole: int | float) -> float:
    return float(part / whole) if whole != 0 else float("nan")
