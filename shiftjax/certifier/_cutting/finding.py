"""Where a program reduces over all of the image, and which values depend on that, on the image, or on neither."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shiftjax.certifier import _jaxpr
from shiftjax.certifier._cutting.flat import Flat
from shiftjax.certifier._cutting.operand import Layout, layout
from shiftjax.certifier._domain.constants import Unknown
from shiftjax.certifier._domain.naming import digest
from shiftjax.certifier._domain.tags import Broken, image_axes
from shiftjax.certifier._domain.values import Image, Refused, Result
from shiftjax.certifier._interpret import Interpreter
from shiftjax.certifier._jaxpr import Call
from shiftjax.certifier._refusal import CertificationError
from shiftjax.certifier._rules import Equation, Record
from shiftjax.certifier._rules.mixing import FREEZE

KINDS = {"reduce_sum": "sum", "reduce_max": "max", "reduce_min": "min", "reduce_and": "min", "reduce_or": "max"}
OF_TRUTH = ("reduce_and", "reduce_or")
POOLS = {"reduce_window_sum": "sum", "reduce_window_max": "max", "reduce_window_min": "min"}
LOOP = (
    "Only a statistic outside of loops and branches can be measured: write the loop out, or take it before the branch."
)
BATCH = "Its images are not along the first axis: give it one image at a time."


@dataclass(frozen=True)
class Reduction:
    """A reduction over all of the image.

    Attributes:
        call: the equation; its result is the statistic.
        operand: what is reduced.
        axes: over which it is reduced.
        kind: "sum", "max" or "min".
        layout: how the operand becomes an image.
        source: "file:line" of the user's code.
    """

    call: Call
    operand: Any
    axes: tuple[int, ...]
    kind: str
    layout: Layout
    source: str


@dataclass(frozen=True)
class Found:
    """What is known of a flat program.

    Attributes:
        values: what the certifier knows of each variable; statistics are constants with unknown values.
        derived: variables that are computed from statistics alone, in order; each is the same at every pixel.
        spread: those of them that are computed at the size at hand: what is broadcast over the image, so it has the
            image's size, and what an equation makes together with images, as a loop does that carries both.
        reductions: the reductions over all of the image, in order.
    """

    values: dict[Any, Result]
    derived: tuple[Any, ...]
    spread: frozenset[Any]
    reductions: tuple[Reduction, ...]


class Finder(Interpreter):
    """Interprets a flat program, and takes the result of a reduction over all of the image for a constant."""

    def __init__(self, record: Record, batch: int) -> None:
        super().__init__(record)
        self._batch = batch

    def find(self, flat: Flat, values: Sequence[Result]) -> Found:
        """Walks over the equations.

        Args:
            flat: the program.
            values: of its inputs that are no constants.
        """
        program = flat.program
        constants = [self._constant(value) for value in program.constants]
        env: dict[Any, Result] = dict(zip(program.inputs, [*constants, *values], strict=True))
        derived: dict[Any, None] = {}
        beside: set[Any] = set()  # derived, but made by an equation that takes the image too
        reductions: list[Reduction] = []

        def read(atom: Any) -> Result:
            value = _jaxpr.literal(atom)
            return env[atom] if value is None else self._constant(value, _jaxpr.dtype(atom))

        for call in program.calls:
            operands = [read(atom) for atom in call.operands]
            results: Sequence[Result]
            try:
                found = self._reduction(call, operands)
            except CertificationError as refusal:
                found, results = None, [Refused(shape, refusal) for shape in call.out_shapes]
            else:
                if found is None:
                    results = [_outside(result) for result in self._apply(call, operands, None)]
                else:
                    name = digest("statistic", len(reductions), call.out_shapes[0], call.out_dtypes[0])
                    results = [Unknown(call.out_shapes[0], name)]
                    reductions.append(found)
            env.update(zip(call.results, results, strict=True))
            own = [atom for atom in call.operands if _jaxpr.literal(atom) is None]
            if found or any(atom in derived for atom in own):
                pairs = zip(call.results, results, strict=True)
                new = [atom for atom, value in pairs if not isinstance(value, Image | Refused)]
                derived.update((atom, None) for atom in new)
                with_image = any(isinstance(value, Image | Refused) for value in operands)
                if not found and (with_image or not beside.isdisjoint(own)):
                    beside.update(new)
        return Found(env, tuple(derived), frozenset(beside | _spread(flat, env, derived)), tuple(reductions))

    def _reduction(self, call: Call, operands: Sequence[Result]) -> Reduction | None:
        """The reduction over all of the image that an equation is; None where it is something else.

        Raises:
            CertificationError: one of images that are not the first axis of what it reduces.
        """
        reduced, operand = _reduced(call), operands[0] if operands else None
        if reduced is None or not isinstance(operand, Image) or operand.detached:
            return None
        if call.name in OF_TRUTH and call.in_dtypes[0] != "bool":
            return None  # it reduces the bits of numbers
        tags = [operand.axes[k] for k in reduced]
        if any(isinstance(tag, Broken) for tag in operand.axes) or not image_axes(tags):
            return None
        if sorted(image_axes(tags)) != sorted(operand.image_axes):
            return None  # some of the image's axes only: its rule refuses it
        eqn = Equation(call, self._record, None, None)
        how = layout(operand, reduced, self._batch)
        if how is None:
            eqn.refuse("it reduces over the image, and over the images of a batch", BATCH)
        kind = {**KINDS, **POOLS}[call.name]
        return Reduction(call, call.operands[0], reduced, kind, how, eqn.source)


def _outside(result: Result) -> Result:
    """The refusal of a statistic where none is looked for: in a loop or a branch."""
    if isinstance(result, Refused) and isinstance(why := result.why, CertificationError) and why.advice == FREEZE:
        inside = CertificationError(why.primitive, why.source, f"{why.reason}, in a loop or a branch", LOOP)
        return Refused(result.shape, inside)
    return result


def _reduced(call: Call) -> tuple[int, ...] | None:
    """The axes along which an equation reduces all elements; a pooling with a single window does so too."""
    if call.name in KINDS:
        return tuple(call.params["axes"])
    if call.name not in POOLS or any(before or after for before, after in call.params["padding"]):
        return None
    shape, window = call.in_shapes[0], call.params["window_dimensions"]
    plain = all(n == 1 for name in ("base_dilation", "window_dilation") for n in call.params[name])
    axes = tuple(k for k, (n, size) in enumerate(zip(shape, window, strict=True)) if size == n > 1)
    strides = call.params["window_strides"]
    others = all(
        size == stride == 1 for k, (size, stride) in enumerate(zip(window, strides, strict=True)) if k not in axes
    )
    return axes if plain and others and axes else None


def _spread(flat: Flat, values: Mapping[Any, Result], derived: Container[Any]) -> set[Any]:
    """The derived variables that have the image's size: those that meet it in that size, and what they are made of."""
    todo = []
    for call in flat.program.calls:
        own = [atom for atom in call.operands if _jaxpr.literal(atom) is None]
        images = [value for atom in own if isinstance(value := values[atom], Image)]
        for atom in own if images else ():
            shape, axes = _jaxpr.shape(atom), images[0].axes
            if atom in derived and len(shape) == len(axes):
                todo += [atom] * any(n > 1 and tag is not None for n, tag in zip(shape, axes, strict=True))
    found: set[Any] = set()
    while todo:
        atom = todo.pop()
        if atom not in found:
            found.add(atom)
            own = [o for o in flat.maker[atom].operands if _jaxpr.literal(o) is None and o in derived]
            todo += [o for o in own if _jaxpr.shape(o) == _jaxpr.shape(atom) or _repeated(o, flat)]
    return found


def _repeated(atom: Any, flat: Flat) -> bool:
    """Whether a variable only repeats another one, axis after axis, on the way to the image's size."""
    call = flat.maker.get(atom)
    while call is not None and call.name in ("reshape", "squeeze"):
        call = flat.maker.get(call.operands[0])
    if call is None or call.name != "broadcast_in_dim":
        return False
    return math.prod(call.out_shapes[0]) > math.prod(call.in_shapes[0])
