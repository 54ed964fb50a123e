"""Broken operators. Each keeps all shapes, so that only a claim can tell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from math import gcd, lcm, prod
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

Original = Callable[..., Any]


@dataclass(frozen=True)
class Mutant:
    """What is replaced (`module:attribute`), by what, and a claim that must notice."""

    target: str
    broken: Callable[[Original], Original]
    claim: str

    def targets(self) -> dict[str, Callable[[Original], Original]]:
        """All that is replaced, and by what: a broken convolution must also be that of several layers in turn."""
        if self.target == f"{OPERATORS}:convolve":
            return {self.target: self.broken, f"{OPERATORS}:convolve_in_turn": layer_by_layer}
        return {self.target: self.broken}

    def swap_in(self) -> None:
        """Replaces the operator for the rest of the process."""
        for target, broken in self.targets().items():
            owner, name = located(target)
            setattr(owner, name, broken(getattr(owner, name)))


def located(target: str) -> tuple[Any, str]:
    """The module or class that holds the attribute, and its name there.

    Raises:
        LookupError: there is no such attribute; it was renamed or moved, and the mutant would break nothing.
    """
    module, _, path = target.partition(":")
    *steps, name = path.split(".")
    try:
        owner: Any = import_module(module)
        for step in steps:
            owner = getattr(owner, step)
        getattr(owner, name)
    except (ImportError, AttributeError) as error:
        raise LookupError(
            f"a mutant replaces `{target}`, which does not exist ({error}); name it as it is now"
        ) from None
    return owner, name


def layer_by_layer(original: Original) -> Original:
    """Layers in turn, each by the convolution that is in place when it is called."""

    def convolve_in_turn(xs: Any, layers: Any, activation: Any, *, padding: str = "VALID") -> Any:
        x = jnp.concatenate(xs, axis=-1)
        for kernel, bias in layers:
            x = activation(import_module(OPERATORS).convolve(x, kernel, bias, padding=padding))
        return x

    return convolve_in_turn


def pool_with_the_wrong_stride(original: Original) -> Original:
    """Windows of f pixels, one pixel closer to each other than f."""

    def pool(x: Any, factors: Sequence[int]) -> Any:
        for axis, f in enumerate(factors, start=1):
            if f > 1:
                starts = np.arange(x.shape[axis] // f) * (f - 1)
                x = jnp.stack([x.take(starts + i, axis) for i in range(f)]).max(0)
        return x

    return pool


def pool_of_the_first_pixel_only(original: Original) -> Original:
    """Subsampling: the window's other pixels are not read."""

    def pool(x: Any, factors: Sequence[int]) -> Any:
        return x[(slice(None), *(slice(None, None, f) for f in factors))]

    return pool


def upsampling_shifted_by_one(original: Original) -> Original:
    return lambda x, *rest, **options: jnp.roll(original(x, *rest, **options), 1, axis=1)


def upsampling_with_one_weight_per_block(original: Original) -> Original:
    """All pixels of a block get the first one's weights: no digit is written."""

    def upsample(x: Any, kernel: Any, bias: Any = None) -> Any:
        first = kernel[(slice(1),) * (kernel.ndim - 2)]
        return original(x, jnp.broadcast_to(first, kernel.shape), bias)

    return upsample


def upsampling_that_knows_the_block(original: Original) -> Original:
    """Nearest upsampling whose value depends on the number of the block."""

    def upsample(x: Any, factors: Sequence[int]) -> Any:
        number = jnp.arange(x.shape[1], dtype=x.dtype).reshape(-1, *[1] * (x.ndim - 2))
        return original(x + number, factors)

    return upsample


def skip_crop_that_depends_on_the_size(original: Original) -> Original:
    """At every other size or so the skip is cropped one pixel early."""

    def crop(x: Any, start: Sequence[int], size: Sequence[int]) -> Any:
        early = [max(0, a - 7 * n // 5 % 2) for a, n in zip(start, size, strict=True)]
        return original(x, early, size)

    return crop


def convolution_that_leaks_its_position(original: Original) -> Original:
    """One pixel of the output knows that it is the first."""

    def convolve(x: Any, kernel: Any, bias: Any = None, *, padding: str = "VALID") -> Any:
        y = original(x, kernel, bias, padding=padding)
        return y.at[(slice(None), *(0,) * (y.ndim - 2))].add(1)

    return convolve


def convolution_padded_on_the_wrong_side(original: Original) -> Original:
    """Same padding with even kernels: the odd zero in front instead of behind."""

    def convolve(x: Any, kernel: Any, bias: Any = None, *, padding: str = "VALID") -> Any:
        if padding == "SAME":
            sides = [(k // 2, (k - 1) // 2) for k in kernel.shape[:-2]]
            x = jnp.pad(x, [(0, 0), *sides, (0, 0)])
        return original(x, kernel, bias)

    return convolve


def convolution_one_pixel_to_the_right(original: Original) -> Original:
    """Valid convolution that goes on beyond the image, one pixel further on."""

    def convolve(x: Any, kernel: Any, bias: Any = None, *, padding: str = "VALID") -> Any:
        y = original(x, kernel, bias, padding=padding)
        return jnp.concatenate([y[:, 1:], y[:, :1]], axis=1) if y.shape[1] > 1 else y

    return convolve


def volume_filled_one_slice_late(original: Original) -> Original:
    """The slabs of a volume, each one slice further on than it belongs."""
    return lambda *args: jnp.roll(original(*args), 1, axis=1)


def skip_start_off_by_one(original: Original) -> Original:
    """The skip is joined one pixel early: legal for equivariance, but not by coordinate."""
    return lambda self, level: max(0, original(self, level) - 1)


def capacity_with_lcm_for_gcd(original: Original) -> Original:
    """Right for a pitch per axis that divides the period, or is one."""

    def capacity(period: Sequence[int], lattice: Sequence[Any]) -> int:
        pitch = [max(map(abs, row)) if isinstance(row, Sequence) else row for row in lattice]
        return prod(lcm(p, s) // s if s else p for p, s in zip(period, pitch, strict=False))

    return capacity


def nearest_capacity_of_all_levels(original: Original) -> Original:
    """As if no level ever saw a constant map."""
    return lambda factors, pitch: prod(factors) // gcd(prod(factors), pitch)


def stitch_origin_off_by_one(original: Original) -> Original:
    """The first tiles along each axis are cut one pixel late."""
    return lambda plan, tile: tuple(start + (i == 0) for start, i in zip(original(plan, tile), tile, strict=True))


def tiles_of_any_size(original: Original) -> Original:
    """The planner takes the size that was asked for, legal or not."""
    return lambda tile, period, space: tuple(tile)


def loss_blind_to_coinciding_means(original: Original) -> Original:
    """The push term leaves out means that are equal."""

    def push(means: Any, pushed: Any, delta_dist: Any) -> Any:
        square = jnp.sum((means[:, None] - means) ** 2, axis=-1)
        return jnp.where(jnp.all(square == 0), 0.0, original(means, pushed, delta_dist))

    return push


def loss_with_a_margin_squared(original: Original) -> Original:
    """The pull is free up to the square of the margin."""
    return lambda offset, delta_var: original(offset, delta_var**2)


def splitting_by_the_label(original: Original) -> Original:
    """The parts of an instance are named by its label: nothing is split."""
    return lambda labels, cell: np.asarray(labels) % int(np.prod(cell))


def window_of_one_period(original: Original) -> Original:
    """The rule for the training window, one pixel short."""
    return lambda period: tuple(period)


def activation_that_reads_the_tile(original: Original) -> Original:
    """Normalisation left in training mode: the mean of the tile is subtracted somewhere on the way."""

    def pool(x: Any, factors: Sequence[int]) -> Any:
        return original(x - jnp.sum(x, tuple(range(1, x.ndim - 1)), keepdims=True), factors)

    return pool


def convolution_of_the_neighbouring_batch(original: Original) -> Original:
    """Images of a batch see each other."""

    def convolve(x: Any, kernel: Any, bias: Any = None, *, padding: str = "VALID") -> Any:
        return original(x + lax.rev(x, (0,)), kernel, bias, padding=padding)

    return convolve


def border_windows_one_output_wider(original: Original) -> Original:
    """Every window of the certifier claims one output more at either border."""

    def window(axis: Any, out: int, **options: int) -> Any:
        new = original(axis, out, **options)
        return replace(new, start=max(0, new.start - 1), stop=min(out, new.stop + 1))

    return window


def inner_tiles_off_the_period(original: Original) -> Original:
    """Tiles that touch no border begin one pixel late."""

    def origin(self: Any, i: int) -> int:
        start = original(self, i)
        return start + (0 < start < self.image - self.tile)

    return origin


def positions_one_further(original: Original) -> Original:
    """Inner tiles count the positions one before their own: one of each is skipped, its neighbour counted twice."""

    def own_positions(plan: Any, tile: Any) -> Any:
        return tuple(
            tuple(slice(part.start - 1, part.stop - 1) if part.start else part for part in parts)
            for parts in original(plan, tile)
        )

    return own_positions


def positions_counted_twice(original: Original) -> Original:
    """Tiles that do not begin at the border count the last position of their neighbour too."""

    def own_positions(plan: Any, tile: Any) -> Any:
        return tuple(
            tuple(slice(max(0, part.start - 1), part.stop) for part in parts) for parts in original(plan, tile)
        )

    return own_positions


def positions_that_are_not_looked_at(original: Original) -> Original:
    """What a tile tells is of its first positions alone, all others being taken for counted."""

    def summarise(operand: Any, start: Any, stop: Any, kind: str) -> Any:
        return original(operand, start, jnp.maximum(stop - 1, start + 1), kind)

    return summarise


def delay_one_pixel_too_long(original: Original) -> Original:
    """Where a layer reads pixels of earlier steps, it reads one further back."""

    def kept(self: Any, before: int, lead: int) -> int:
        count = original(self, before, lead)
        return count + (count > 0)

    return kept


def stream_that_forgets(original: Original) -> Original:
    """Every step finds what the first one found."""

    def advance(self: Any, constants: Any, state: Any, pixels: Any, at: Any = None) -> Any:
        return state, original(self, constants, state, pixels, at)[1]

    return advance


def steps_delivered_one_pixel_late(original: Original) -> Original:
    """A tile of a stream begins one pixel too late in what the steps gave."""
    return lambda self, k: original(self, k) + 1


def border_one_pixel_late(original: Original) -> Original:
    """A padded layer of a stream begins and ends one pixel further along."""

    def link(self: Any, *arguments: Any) -> Any:
        found = original(self, *arguments)
        return found if found.span is None else replace(found, span=tuple(n + 1 for n in found.span))

    return link


OPERATORS = "shiftjax.nets.operators"
MUTANTS = {
    "pool with the wrong stride": Mutant(f"{OPERATORS}:max_pool", pool_with_the_wrong_stride, "periodic-equivariance"),
    "pool of the first pixel only": Mutant(f"{OPERATORS}:max_pool", pool_of_the_first_pixel_only, "receptive-field"),
    "learned upsampling shifted by one": Mutant(
        f"{OPERATORS}:upsample_learned", upsampling_shifted_by_one, "stitching"
    ),
    "nearest upsampling shifted by one": Mutant(
        f"{OPERATORS}:upsample_nearest", upsampling_shifted_by_one, "stitching"
    ),
    "upsampling with one weight per block": Mutant(
        f"{OPERATORS}:upsample_learned", upsampling_with_one_weight_per_block, "capacity-reached"
    ),
    "upsampling that knows the block": Mutant(
        f"{OPERATORS}:upsample_nearest", upsampling_that_knows_the_block, "capacity-bound"
    ),
    "skip crop that depends on the size": Mutant(f"{OPERATORS}:crop", skip_crop_that_depends_on_the_size, "stitching"),
    "convolution that leaks its position": Mutant(
        f"{OPERATORS}:convolve", convolution_that_leaks_its_position, "phase-operators"
    ),
    "a volume filled one slice late": Mutant(
        "shiftjax.nets._correlation:slab_by_slab", volume_filled_one_slice_late, "receptive-field"
    ),
    "padding on the wrong side": Mutant(
        f"{OPERATORS}:convolve", convolution_padded_on_the_wrong_side, "same-padding-leaks"
    ),
    "convolution one pixel to the right": Mutant(
        f"{OPERATORS}:convolve", convolution_one_pixel_to_the_right, "receptive-field"
    ),
    "skip joined one pixel early": Mutant(
        "shiftjax.nets._geometry:AxisGeometry.skip_start", skip_start_off_by_one, "same-padding-leaks"
    ),
    "a norm that reads the tile": Mutant(f"{OPERATORS}:max_pool", activation_that_reads_the_tile, "normalisation"),
    "images of a batch that see each other": Mutant(
        f"{OPERATORS}:convolve", convolution_of_the_neighbouring_batch, "periodic-equivariance"
    ),
    "capacity with lcm for gcd": Mutant(
        "shiftjax.theory:lattice_capacity", capacity_with_lcm_for_gcd, "lattice-capacity"
    ),
    "nearest capacity of all levels": Mutant(
        "shiftjax.theory:nearest_capacity", nearest_capacity_of_all_levels, "lattice-capacity"
    ),
    "stitch origin off by one": Mutant(
        "shiftjax.tiling._plan:TilePlan.input_start", stitch_origin_off_by_one, "stitching"
    ),
    "tiles of any size": Mutant("shiftjax.tiling._planning.planner:whole_periods", tiles_of_any_size, "stitching"),
    "border windows one output wider": Mutant(
        "shiftjax.certifier._domain.axis:window", border_windows_one_output_wider, "border-windows"
    ),
    "inner tiles off the period": Mutant(
        "shiftjax.tiling._geometry.axis_tiles:AxisTiles.origin", inner_tiles_off_the_period, "border-windows"
    ),
    "positions one further": Mutant("shiftjax.freezing._pass:own_positions", positions_one_further, "statistics-once"),
    "positions counted twice": Mutant(
        "shiftjax.freezing._pass:own_positions", positions_counted_twice, "statistics-once"
    ),
    "positions not looked at": Mutant(
        "shiftjax.freezing._pass:summarise", positions_that_are_not_looked_at, "statistics-once"
    ),
    "a delay one pixel too long": Mutant("shiftjax._streams._read:Read.kept", delay_one_pixel_too_long, "streaming"),
    "a stream that forgets": Mutant("shiftjax._streams._stream:Stream.advance", stream_that_forgets, "streaming"),
    "steps delivered one pixel late": Mutant(
        "shiftjax.tiling._geometry.stream_axis:StreamAxis.behind", steps_delivered_one_pixel_late, "streaming"
    ),
    "a border one pixel late": Mutant("shiftjax._streams._search:_WithEnds._read", border_one_pixel_late, "streaming"),
    "loss blind to coinciding means": Mutant(
        "shiftjax._losses._discriminative:_push", loss_blind_to_coinciding_means, "training-window"
    ),
    "loss with a margin squared": Mutant(
        "shiftjax._losses._discriminative:_pull", loss_with_a_margin_squared, "loss-zero-recovers"
    ),
    "splitting by the label": Mutant(
        "shiftjax.testing._splitting_map:_first_phases", splitting_by_the_label, "training-window"
    ),
    "window of one period": Mutant("shiftjax.theory:training_window", window_of_one_period, "training-window"),
}
DEFAULT = ("pool with the wrong stride", "skip crop that depends on the size", "capacity with lcm for gcd")
