"""Walks: programs that a random walk over raw calls of `jax.numpy` and `jax.lax` makes, step by step.

A walk is plain data. Its printed form makes it again, and one number of it can be changed.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import jax
import numpy as np
from jax.tree_util import Partial

from proofs_tests.certifier.walking import fixed, layout, nested, values, windows
from proofs_tests.certifier.walking.kinds import KINDS, Kind, Options, View

FAMILIES = (windows, layout, values, fixed, nested)  # whose kinds are in the table
LONGEST, LARGEST, RANK = 7, 6000, 6  # steps of a walk, elements and axes of an array
SIZES = {1: (11, 16), 2: (7, 10), 3: (5, 7)}  # few, so that constants compiled by the certifier serve again
TYPES = ("int32",) * 6 + ("float32",) * 2 + ("bfloat16", "float16", "int8", "uint8", "bool")


@dataclass(frozen=True)
class Step:
    """One call: its kind, the arrays that it reads, counted from the image on, and its options."""

    kind: str
    reads: tuple[int, ...]
    options: Options


@dataclass(frozen=True)
class Walk:
    """A function of an image.

    Attributes:
        shape: of the image.
        dtype: of the image.
        space: the spatial axes of the image.
        steps: in order; each makes one array more.
        outputs: which of the arrays are returned, from the last on; a tuple if there are several.
    """

    shape: tuple[int, ...]
    dtype: str
    space: tuple[int, ...]
    steps: tuple[Step, ...] = ()
    outputs: tuple[int, ...] = (-1,)

    def function(self) -> Callable[[Any], Any]:
        """A function made anew, so that nothing that JAX keeps is shared. Its parameters are leaves of a pytree."""

        def walk(parameters: list[Any], x: Any) -> Any:
            arrays, left = [x], iter(parameters)
            for step in self.steps:
                operands = [arrays[k] for k in step.reads]
                if KINDS[step.kind].parameters:
                    operands.append(next(left))
                arrays.append(KINDS[step.kind].apply(*operands, **step.options))
            found = tuple(arrays[k] for k in self.outputs)
            return found if len(found) > 1 else found[0]

        return Partial(walk, self.parameters())

    def parameters(self) -> list[np.ndarray]:
        shapes = [step.options["shape"] for step in self.steps if KINDS[step.kind].parameters]
        return [np.random.default_rng(k).integers(-3, 6, shape) * np.int32(1) for k, shape in enumerate(shapes)]

    @property
    def image(self) -> Any:
        return jax.ShapeDtypeStruct(self.shape, self.dtype)

    def resized(self, more: dict[int, int]) -> Walk:
        """Of a larger image: so many pixels more along some of its axes."""
        return replace(self, shape=tuple(n + more.get(k, 0) for k, n in enumerate(self.shape)))

    @cached_property
    def types(self) -> str:
        """The program as text, which tells the types of all values on the way."""
        return str(jax.make_jaxpr(self.function())(self.image))

    @property
    def floats(self) -> bool:
        """Whether there are floats on the way."""
        return any(name in self.types for name in ("f32[", "f16[", "c64["))

    @property
    def halves(self) -> bool:
        """Whether there are half floats on the way, or floats that are cut to as few digits."""
        return "f16[" in self.types or "reduce_precision[" in self.types


def first(rng: np.random.Generator) -> Walk:
    """An image, and nothing done to it."""
    d = int(rng.choice((1, 2, 3), p=(0.4, 0.45, 0.15)))
    size = [int(rng.choice(SIZES[d])) for _ in range(d)]
    if rng.random() < 0.06:
        size[int(rng.integers(d))] = int(rng.integers(1, 3))
    batch = 1 if rng.random() < 0.8 else int(rng.integers(2, 4))
    channels = int(rng.integers(1, 4))
    if rng.random() < 0.1:
        return Walk((batch, channels, *size), str(rng.choice(TYPES)), tuple(range(2, d + 2)))
    return Walk((batch, *size, channels), str(rng.choice(TYPES)), tuple(range(1, d + 1)))


def candidate(rng: np.random.Generator, walk: Walk, views: list[View]) -> tuple[Walk, Any] | None:
    """The walk with one more step, and the shape and type of what it makes; None if the draw fits no array at hand."""
    chosen = _kind(rng)
    last = len(views) - 1
    reads = [last if rng.random() < 0.85 else int(rng.integers(len(views)))]
    if chosen.arrays == 2:
        fitting = [k for k, view in enumerate(views) if k != reads[0] and view.space == views[reads[0]].space]
        if not fitting:
            return None
        reads.append(int(rng.choice(fitting)))
        rng.shuffle(reads)
    options = chosen.draw(*(views[k] for k in reads))
    if options is None:
        return None
    step = Step(chosen.apply.__name__, tuple(reads), options)
    longer = replace(walk, steps=(*walk.steps, step))
    if kills_xla(longer):
        return None
    operands = [jax.ShapeDtypeStruct(views[k].shape, views[k].dtype) for k in reads]
    if chosen.parameters:
        operands.append(jax.ShapeDtypeStruct(options["shape"], np.int32))
    try:
        made = jax.eval_shape(lambda *v: chosen.apply(*v, **options), *operands)
    except Exception:  # no such call for these arrays
        return None
    fits = np.prod(made.shape) <= LARGEST and len(made.shape) <= RANK and max(made.shape, default=0) <= 80
    return (longer, made) if fits else None


def kills_xla(walk: Walk) -> bool:
    """Mirrored updates end the process: "Invalid binary instruction opcode map", in XLA's algebraic simplifier."""
    text = repr(walk.steps)
    return "'updated'" in text and any(word in text for word in ("'flip'", "'mirrored'", "'reverse'"))


def _kind(rng: np.random.Generator) -> Kind:
    kinds = [KINDS[name] for name in sorted(KINDS)]  # whatever was imported first
    weight = np.array([k.weight for k in kinds])
    return kinds[int(rng.choice(len(kinds), p=weight / weight.sum()))]


def changed(walk: Walk, views: Sequence[View], rng: np.random.Generator) -> Walk | None:
    """The walk with one step drawn anew, or with one number of it changed, at any depth."""
    at = int(rng.integers(len(walk.steps)))
    step = copy.deepcopy(walk.steps[at])
    chosen = KINDS[step.kind]
    if rng.random() < 0.4:
        options = chosen.draw(*(replace(views[k], rng=rng) for k in step.reads))
        if options is None:
            return None
        step = replace(step, options=options)
    else:
        places = list(_numbers(step.options))
        if chosen.parameters or not places:
            return None
        inside, key = places[int(rng.integers(len(places)))]
        old = inside[key]
        inside[key] = (not old) if isinstance(old, bool) else old + type(old)(rng.choice((-1, 1, 2)))
    other = replace(walk, steps=(*walk.steps[:at], step, *walk.steps[at + 1 :]))
    return None if kills_xla(other) else other


def _numbers(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every number in lists and dictionaries, as the place where it stands."""
    entries = value.items() if isinstance(value, dict) else enumerate(value)
    for key, entry in entries:
        if isinstance(entry, dict | list):
            yield from _numbers(entry)
        elif isinstance(entry, bool | int | float):
            yield value, key
