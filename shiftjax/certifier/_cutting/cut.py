"""A function cut at its statistics of the whole image: computed at any size from those of one image.

What is derived from statistics alone, such as a mean from a sum, is computed by the program for the size of the image
that was measured: so the number of pixels by which it divides is that image's, whatever the size of a tile.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shiftjax._checks import fail
from shiftjax._parameters import take_apart
from shiftjax.certifier import _jaxpr
from shiftjax.certifier._certify import traced_function
from shiftjax.certifier._cutting.analysis import Analysis, Measure, Statistic, analyse, check_outputs
from shiftjax.certifier._cutting.finding import Found
from shiftjax.certifier._cutting.flat import flatten
from shiftjax.certifier._cutting.moments import number, plain_number
from shiftjax.certifier._domain.constants import Known
from shiftjax.certifier._domain.naming import digest
from shiftjax.certifier._domain.values import Image
from shiftjax.certifier._jaxpr import Call
from shiftjax.certifier._rules.table import program_name

Fn = Callable[[Any], Any]
SCALING = frozenset({"mul", "div", "dot_general", "conv_general_dilated"})


class Cut:
    """A function of an image, and where in it statistics of the whole image are taken.

    Attributes:
        own: the function at the size of the image that is measured.
        name: of its program there, constants included.

    Args:
        fn: the function.
        x: shape and type of that image, `(batch, *space, channel)`.
        name: where it was cut before, in another process: the name then. A function of another name is refused as soon
            as it is called.

    Raises:
        CertificationError: no output follows the image, or one is a statistic.
    """

    def __init__(self, fn: Fn, x: Any, name: str = "") -> None:
        self.shape, self.dtype = tuple(x.shape), x.dtype
        self._known: dict[tuple[int, ...], Analysis] = {}
        self._lock = threading.Lock()
        self.own = self._analysis(fn, self.shape)
        self._own_name = program_name(self.own.flat.program)
        self.name = name or self._own_name
        check_outputs(self.own)

    @property
    def measures(self) -> tuple[Measure, ...]:
        """What has to be measured, in the order of the program."""
        return self.own.measures

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        """The statistics that follow from the measures, in the order of the program."""
        return self.own.statistics

    @property
    def passes(self) -> int:
        """How many statistics there are in the longest chain."""
        return self.own.passes

    def key(self, fn: Fn) -> str:
        """Digest of the program, all parameters and constants, by which statistics of another network are refused."""
        values = (*self.own.flat.program.constants, *take_apart(fn).arrays)
        arrays = [_jaxpr.key_data(value) if (host := _jaxpr.concrete(value)) is None else host for value in values]
        return digest("cut", self.shape, str(self.dtype), self._own_name, arrays)

    def outputs(self, fn: Fn, statistics: Sequence[Any], image: Any) -> Any:
        """What the function gives for an image `(batch, *space, channel)` of any size, given the statistics."""
        here = self._at(fn, image)
        if here is not self.own:
            _check_scales(here, self.own)
        return jax.tree_util.tree_unflatten(
            here.tree, self._values(here, fn, statistics, image, here.flat.program.outputs)
        )

    def operands(self, fn: Fn, statistics: Sequence[Any], image: Any, which: Sequence[int]) -> list[Any]:
        """What some measures are taken of, each as an image `(batch, *space, channel)`, given earlier statistics."""
        here = self._at(fn, image)
        measures = [here.measures[k] for k in which]
        values = self._values(here, fn, statistics, image, [measure.operand for measure in measures])
        return [measure.layout.image(value) for measure, value in zip(measures, values, strict=True)]

    def centre(self, fn: Fn, statistics: Sequence[Any], which: Statistic) -> Any:
        """The value about which a statistic sums squares, of the statistic's shape, given earlier statistics."""
        (value,) = self.own.flat.run(self._derivation(self.own, fn, statistics), [which.centre])
        operand = _jaxpr.shape(self.measures[which.measure].operand)
        kept = [k for k in range(len(operand)) if k not in which.axes]
        alike = jnp.reshape(value, [jnp.shape(value)[k] for k in kept])
        return jnp.broadcast_to(alike, [operand[k] for k in kept]).reshape(which.shape)

    def derived(self, fn: Fn, statistics: Sequence[Any]) -> list[Any]:
        """All values derived from the statistics that meet the image, before they are broadcast to its size."""
        own = self.own
        small = {atom for atom in own.found.derived if atom not in own.found.spread}
        _, used = own.flat.needed(own.flat.program.outputs, small.__contains__)
        return own.flat.run(self._derivation(own, fn, statistics), used)

    def _values(
        self, here: Analysis, fn: Fn, statistics: Sequence[Any], image: Any, wanted: Sequence[Any]
    ) -> list[Any]:
        """Variables of the program at the size of an image."""
        own = self.own
        pairs = zip(here.found.derived, own.found.derived, strict=True)
        twins = {mine: theirs for mine, theirs in pairs if theirs not in own.found.spread and _alike(mine, theirs)}
        _, used = here.flat.needed(wanted, twins.__contains__)
        derived = own.flat.run(self._derivation(own, fn, statistics), [twins[atom] for atom in used])
        env = inputs_of(here, fn)
        env[here.flat.program.inputs[-1]] = jnp.asarray(image)
        env.update((atom, self._for_batch(atom, value)) for atom, value in zip(used, derived, strict=True))
        return here.flat.run(env, wanted)

    def _for_batch(self, atom: Any, value: Any) -> Any:
        """A derived value for the number of images at hand: one and several are computed by the same operations."""
        shape = _jaxpr.shape(atom)
        if self.shape[0] != 1 or not shape or jnp.shape(value)[0] != 1:
            return value
        return jnp.broadcast_to(jnp.reshape(value, shape[1:]), shape)

    def _derivation(self, own: Analysis, fn: Fn, statistics: Sequence[Any]) -> dict[Any, Any]:
        """The known variables at the measured size: the statistics, the parameters and the constants."""
        given = zip(own.statistics, statistics, strict=True)
        return {**inputs_of(own, fn), **{one.result: value for one, value in given if value is not None}}

    def _at(self, fn: Fn, image: Any) -> Analysis:
        shape = tuple(image.shape)
        batch = self.shape[0]
        self._check_name(self._own_name)
        if jax.dtypes.canonicalize_dtype(image.dtype) != self.dtype:
            fail("image", f"{self.dtype}, as the image that was measured has", image.dtype)
        if len(shape) != len(self.shape) or shape[-1] != self.shape[-1] or (batch != 1 and shape[0] != batch):
            fail("image", f"the form of the image that was measured, {self.shape}", f"shape {shape}")
        return self._analysis(fn, shape)

    def _analysis(self, fn: Fn, shape: tuple[int, ...]) -> Analysis:
        with self._lock:
            if shape not in self._known:
                if self._known:
                    self._check_unchanged(fn)
                here = analyse(fn, jax.ShapeDtypeStruct(shape, self.dtype))
                if self._known:
                    self._check_alike(here, shape)
                self._known[shape] = here
            return self._known[shape]

    def _check_unchanged(self, fn: Fn) -> None:
        """Refuses a function that closes over another value than when it was cut: half of it would be the old one."""
        again = flatten(traced_function(fn, jax.ShapeDtypeStruct(self.shape, self.dtype)).program)
        self._check_name(program_name(again.program))

    def _check_name(self, name: str) -> None:
        if name != self.name:
            found = "one that has changed since, as by a value that it closes over or by another version of its module"
            fail("fn", "the function that was frozen", found, "freeze it anew")

    def _check_alike(self, here: Analysis, shape: tuple[int, ...]) -> None:
        """Refuses a size at which the function takes other statistics, or derives something else from them."""
        own = self.own
        makers = [[analysis.flat.maker[atom].name for atom in analysis.found.derived] for analysis in (here, own)]
        if makers[0] != makers[1] or kinds_of(here) != kinds_of(own) or not _same_numbers(here, own):
            found = f"other ones at {shape} than at {self.shape}, which was measured"
            fail("fn", "a function that takes the same statistics at every size", found)


def kinds_of(analysis: Analysis) -> list[Any]:
    """The properties of the statistics that are the same at every size."""
    measures = analysis.measures
    return [(s.operation, s.measure, s.stage, measures[s.measure].layout.form) for s in analysis.statistics]


def _same_numbers(here: Analysis, own: Analysis) -> bool:
    """Whether statistics meet the same numbers at two sizes where what is derived is computed at the size at hand."""
    pairs = [
        (mine, theirs)
        for mine, theirs in zip(here.found.derived, own.found.derived, strict=True)
        if theirs in own.found.spread or not _alike(mine, theirs)
    ]
    numbers = []
    for analysis, atoms in ((here, [mine for mine, _ in pairs]), (own, [theirs for _, theirs in pairs])):
        calls = [analysis.flat.maker[atom] for atom in atoms]
        numbers.append(
            [n for c in calls for n in (*(number(a, analysis.found) for a in c.operands), *_inner_numbers(c))]
        )
    return numbers[0] == numbers[1]


def _inner_numbers(call: Call) -> Iterator[float | None]:
    """The numbers in the programs that an equation runs."""
    for inner in _jaxpr.programs(call.params):
        program = _jaxpr.program(inner)
        yield from (plain_number(host) for c in program.constants if (host := _jaxpr.concrete(c)) is not None)
        for each in program.calls:
            yield from (plain_number(value) for atom in each.operands if (value := _jaxpr.literal(atom)) is not None)
            yield from _inner_numbers(each)


def _check_scales(here: Analysis, own: Analysis) -> None:
    """Refuses a size at which the image is multiplied or divided by other numbers, as by the number of pixels.

    What is derived from statistics alone is computed for the size that was measured, and so must be what they meet.
    """
    one, other = (_scales(analysis) for analysis in (here, own))
    if len(one) == len(other) and any(map(_differ, one, other)):
        sizes = f"{_jaxpr.shape(here.flat.program.inputs[-1])} than at {_jaxpr.shape(own.flat.program.inputs[-1])}"
        mend = "divide a statistic by the number of pixels before it meets the image"
        fail("fn", "a function that scales the image alike at every size", f"other numbers at {sizes}", mend)


def _scales(analysis: Analysis) -> list[Known | None]:
    """What the image is multiplied and divided by on the way to outputs with a proof; None where it is not known."""
    found, outputs = analysis.found, analysis.flat.program.outputs
    known = {atom for atom in found.derived if atom not in found.spread}
    proved = [atom for atom in outputs if _jaxpr.literal(atom) is None and isinstance(found.values[atom], Image)]
    calls, _ = analysis.flat.needed(proved, known.__contains__)
    return [_scale(atom, found) for call in calls if call.name in SCALING for atom in call.operands]


def _scale(atom: Any, found: Found) -> Known | None:
    value = _jaxpr.literal(atom)
    known = found.values[atom] if value is None else Known.of(np.asarray(value))
    return known if isinstance(known, Known) else None


def _differ(one: Known | None, other: Known | None) -> bool:
    """Whether two constants of one shape hold other numbers; one as large as the image has another shape there."""
    if one is None or other is None or one.shape != other.shape or one.key() == other.key():
        return False
    return one.is_large or one.value.tobytes() != other.value.tobytes()


def inputs_of(analysis: Analysis, fn: Fn) -> dict[Any, Any]:
    """Constants and parameters of the program."""
    program = analysis.flat.program
    values = (*program.constants, *take_apart(fn).arrays)
    return dict(zip(program.inputs, values, strict=False))  # all but the image, which is last


def _alike(mine: Any, theirs: Any) -> bool:
    """Whether a derived value has the same shape at two sizes, except for the number of images if one was measured."""
    here, there = _jaxpr.shape(mine), _jaxpr.shape(theirs)
    one_for_all = len(here) == len(there) > 0 and there[0] == 1 and here[1:] == there[1:]
    return here == there or one_for_all
