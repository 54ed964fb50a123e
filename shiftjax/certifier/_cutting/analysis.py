"""A function at one size of its image: its program, and the statistics of the whole image that are in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from shiftjax.certifier import _jaxpr
from shiftjax.certifier._certify import traced_function
from shiftjax.certifier._cutting.finding import Finder, Found, Reduction
from shiftjax.certifier._cutting.flat import Flat, flatten
from shiftjax.certifier._cutting.moments import Squares, squares, variances
from shiftjax.certifier._cutting.operand import Layout
from shiftjax.certifier._domain.axis import whole
from shiftjax.certifier._domain.constants import Unknown
from shiftjax.certifier._domain.naming import digest
from shiftjax.certifier._domain.values import Image, Refused, Result
from shiftjax.certifier._refusal import CertificationError
from shiftjax.certifier._rules import Record

SPREAD = "Only what is spread over the image again can be tiled: return the output that has the image's axes."
TRAINING = "A norm in training mode gives them out: run it in inference mode, or return the image's output alone."


@dataclass(frozen=True)
class Measure:
    """What has to be measured of one operand, over all of its positions.

    Attributes:
        operand: a variable of the program.
        layout: how it becomes an image.
        kind: "sum", "max" or "min".
        stage: in which pass it can be measured, from 1.
    """

    operand: Any
    layout: Layout
    kind: str
    stage: int


@dataclass(frozen=True)
class Statistic:
    """A value that is alike everywhere, since it is taken over all of the image.

    Attributes:
        result: the variable of which it is the value.
        operation: "sum", "max", "min", "sum of squares" or "variance".
        measure: which of the measures it follows from, from 0.
        axes: the axes of the operand that are reduced.
        centre: the variable about which squares are summed; None for 0.
        stage: in which pass it is measured, from 1.
        source: "file:line" of the user's code.
    """

    result: Any
    operation: str
    measure: int
    axes: tuple[int, ...]
    centre: Any | None
    stage: int
    source: str

    @property
    def shape(self) -> tuple[int, ...]:
        return _jaxpr.shape(self.result)

    @property
    def dtype(self) -> Any:
        return _jaxpr.dtype(self.result)


@dataclass(frozen=True)
class Analysis:
    """A function at one size.

    Attributes:
        flat: its program.
        found: what is known of the variables.
        measures: what is to be measured, in order.
        statistics: what the outputs depend on, in order.
        names: of the outputs.
        tree: of the outputs.
    """

    flat: Flat
    found: Found
    measures: tuple[Measure, ...]
    statistics: tuple[Statistic, ...]
    names: tuple[str, ...]
    tree: Any

    @property
    def passes(self) -> int:
        """How many statistics there are in the longest chain."""
        return max((statistic.stage for statistic in self.statistics), default=0)


def analyse(fn: Callable[[Any], Any], x: Any) -> Analysis:
    """Finds the statistics of a function of an image `(batch, *space, channel)`.

    Raises:
        CertificationError: the function returns no array.
    """
    traced = traced_function(fn, x)
    if not traced.outputs:
        raise CertificationError("output", "unknown", "the function returns no array", SPREAD)
    flat = flatten(traced.program)
    rank = len(x.shape)
    space = range(1, rank - 1)
    parameters: list[Result] = [
        Unknown(shape, digest("parameter", k, shape, dtype)) for k, (shape, dtype) in enumerate(traced.parameter_shapes)
    ]
    tags = tuple(whole(k - 1, n) if k in space else None for k, n in enumerate(x.shape))
    image = Image(tuple(x.shape), tags, digest("image", str(x.dtype)), finite=True)
    found = Finder(Record(), x.shape[0]).find(flat, [*parameters, image])
    return _staged(flat, found, traced)


def check_outputs(analysis: Analysis) -> None:
    """Refuses outputs that are statistics, and functions without any output that follows the image.

    Raises:
        CertificationError: there is one.
    """
    found, outputs = analysis.found, analysis.flat.program.outputs
    for name, atom in zip(analysis.names, outputs, strict=True):
        if _jaxpr.literal(atom) is None and atom in found.derived:
            reductions = {r.call.results[0]: r for r in found.reductions}
            _, reached = analysis.flat.needed([atom], reductions.__contains__)
            source = next((r.source for result, r in reversed(reductions.items()) if result in reached), "unknown")
            training = any(word in name for word in ("batch_stats", "running", "mean", "var"))
            what = f"output {name}" if name else "output"
            raise CertificationError(
                what,
                source,
                "it is a statistic of the whole image that is not spread over it again",
                TRAINING if training else SPREAD,
            )
    values = [found.values[atom] for atom in outputs if _jaxpr.literal(atom) is None]
    refused = [value.why for value in values if isinstance(value, Refused)]
    if refused and not any(isinstance(value, Image) for value in values):
        raise refused[0]


def _staged(flat: Flat, found: Found, traced: _jaxpr.Traced) -> Analysis:
    """The statistics with their passes, without those that no output depends on."""
    reductions = {r.call.results[0]: r for r in found.reductions}
    as_squares: dict[Any, Squares] = {}
    for result, reduction in reductions.items():
        own = squares(reduction, flat, found)
        if own is not None:
            as_squares[result] = own
    sums = {
        result: (2, as_squares[result].reduction) if result in as_squares else (1, r)
        for result, r in reductions.items()
        if r.kind == "sum" and (result not in as_squares or as_squares[result].centre is None)
    }
    variance_of = variances(flat, found, sums)
    measures: dict[tuple[Any, ...], Measure] = {}
    statistics: dict[Any, Statistic] = {}
    depth: dict[Any, int] = {}

    def level(atom: Any) -> int:
        return 0 if atom is None or _jaxpr.literal(atom) is not None else depth.get(atom, 0)

    def enter(call: Any, operation: str, reduction: Reduction, centre: Any | None = None) -> None:
        key = (reduction.operand, reduction.kind, reduction.layout)
        stage = 1 + level(reduction.operand)
        measures.setdefault(key, Measure(reduction.operand, reduction.layout, reduction.kind, stage))
        (result,) = call.results
        number = list(measures).index(key)
        statistics[result] = Statistic(result, operation, number, reduction.axes, centre, stage, reduction.source)
        depth[result] = stage

    for call in flat.program.calls:
        result = call.results[0] if call.results else None
        below = max(map(level, call.operands), default=0)
        depth.update((atom, below) for atom in call.results)
        if result in reductions:
            own = as_squares.get(result)
            if own is not None and level(own.centre) <= 1 + level(own.reduction.operand):
                enter(call, "sum of squares", own.reduction, own.centre)
            else:  # also squares about a centre that is known only later
                enter(call, reductions[result].kind, reductions[result])
        elif result in variance_of:
            enter(call, "variance", variance_of[result])
    return _pruned(flat, found, list(measures.values()), statistics, traced)


def _pruned(
    flat: Flat, found: Found, measures: list[Measure], statistics: dict[Any, Statistic], traced: _jaxpr.Traced
) -> Analysis:
    """Only the statistics that outputs depend on, directly or by other statistics."""
    todo, kept = list(flat.program.outputs), set()
    while todo:
        _, reached = flat.needed(todo, statistics.__contains__)
        new = [atom for atom in reached if atom not in kept]
        kept.update(new)
        todo = [measures[statistics[atom].measure].operand for atom in new]
        todo += [centre for atom in new if (centre := statistics[atom].centre) is not None]
    chosen = [statistic for atom, statistic in statistics.items() if atom in kept]
    used = sorted({statistic.measure for statistic in chosen})
    return Analysis(
        flat,
        found,
        tuple(measures[k] for k in used),
        tuple(replace(statistic, measure=used.index(statistic.measure)) for statistic in chosen),
        traced.outputs,
        traced.tree,
    )
