"""Loops: operations that run another program several times. They see the interpreter."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from shiftjax.certifier import _jaxpr
from shiftjax.certifier._domain.axis import Axis
from shiftjax.certifier._domain.constants import Known, Unknown
from shiftjax.certifier._domain.naming import digest
from shiftjax.certifier._domain.tags import following, mapped
from shiftjax.certifier._domain.values import Image, Value
from shiftjax.certifier._refusal import CertificationError
from shiftjax.certifier._rules.branching import BRANCH, join_branches
from shiftjax.certifier._rules.chance import CHANCE, runs_any
from shiftjax.certifier._rules.sliding import slide
from shiftjax.certifier._rules.table import Equation, Interpreter, rule

TURNS = 256  # turns that are followed one by one; of longer loops, bounds that hold for any number of turns are tried
MOST_TURNS = 1 << 12  # turns that are followed where there are no such bounds, as where a loop fills an array
ATTEMPTS = 8  # to find bounds that hold for any number of turns
PER_ROW = "Loop over rows that are treated alike, as `jax.lax.map` does, or over channels or layers."
ENDLESS = "Give the loop a known length, or bodies that keep the receptive field (as 1x1 convolutions do)."


@rule(
    "scan", inert="jaxpr length reverse unroll num_consts num_carry linear ft_in ft_out _split_transpose", control=True
)
def scan(interpreter: Interpreter, eqn: Equation, *values: Value) -> list[Value]:
    """carry = body(carry, rows[t]) for each t: followed turn by turn if short, else by bounds that no turn changes."""
    if not any(isinstance(v, Image) for v in values):
        return interpreter.fold(eqn, values)
    constants, carried = _jaxpr.scan_parts(eqn.params, len(values))
    fixed, rows = values[:constants], values[constants + carried :]
    start = list(values[constants : constants + carried])
    body, length = _jaxpr.program(eqn.params["jaxpr"]), eqn.params["length"]

    def turn(carry: Sequence[Value], given: Sequence[Value]) -> list[Value]:
        return interpreter.prove(body, [*fixed, *carry, *given], eqn)

    if any(isinstance(row, Image) and row.axes[0] is not None for row in rows):
        if any(runs_any(call, CHANCE) for call in body.calls):
            eqn.refuse("a loop along the image draws something else at each turn", PER_ROW)
        return _along_image(eqn, turn, start, rows)

    def follow() -> list[Value]:
        return _by_slices(
            interpreter,
            eqn,
            body,
            fixed,
            start,
            lambda run: _follow(eqn, lambda carry, at: run([*carry, *(_row(row, at) for row in rows)]), start, length),
        )

    if length <= TURNS:
        return follow()
    any_row = [_row(row, None) for row in rows]
    try:
        carry = _steady(
            eqn, lambda state: turn(state, any_row)[:carried], start, ("scan", length, eqn.params["reverse"])
        )
        outputs = turn(carry, any_row)[carried:]
    except CertificationError:
        if length > MOST_TURNS:
            raise
        return follow()
    return [*carry, *(_stack(eqn, [v], eqn.call.out_shapes[carried + k]) for k, v in enumerate(outputs))]


def _by_slices(
    interpreter: Interpreter,
    eqn: Equation,
    body: _jaxpr.Program,
    fixed: Sequence[Value],
    start: Sequence[Value],
    follow: Callable[[Callable[[Sequence[Value]], list[Value]]], list[Value]],
) -> list[Value]:
    """`follow(turn)`; what every turn does to its own slice is followed only once, if that succeeds."""
    mark = eqn.record.mark()
    try:
        if not interpreter.every_turn and (sliding := slide(interpreter, eqn, body, fixed, start)):
            results = follow(sliding.turn)
            if all(map(_knows_its_ends, results, [*start, *results[len(start) :]])):
                return results
    except CertificationError:  # perhaps of a value that nothing needs
        pass
    eqn.record.back_to(mark)
    return follow(lambda given: interpreter.prove(body, [*fixed, *given], eqn))


def _knows_its_ends(value: Value, before: Value) -> bool:
    """Whether the ends of every axis have names, and the one-sided windows are as large as before the loop.

    A result that was moved from another turn has no names of ends. Where it continues the array that it fills, nobody
    asks for them; where it lies along a channel, or is a border of another map, too little would be known.
    """
    if not isinstance(value, Image):
        return True
    axes = [tag for tag in value.axes if isinstance(tag, Axis)]
    earlier = [before.along(axis.image) if isinstance(before, Image) else None for axis in axes]
    return all(
        all(end.name for end in axis.border) and (was is None or (axis.start <= was.start and axis.stop >= was.stop))
        for axis, was in zip(axes, earlier, strict=True)
    )


_loops = itertools.count(1)


def _along_image(
    eqn: Equation, turn: Callable[..., list[Value]], start: list[Value], rows: Sequence[Value]
) -> list[Value]:
    """out[i] = body(a[i], b[i], ...) for each index i of an image axis: pointwise along it.

    Sound, because every turn does the same: what is carried leaves a turn as it came, and all that a turn is given
    besides rows of the image is the same for every turn.
    """
    loop = next(_loops)
    given: list[Value] = []
    for row in rows:
        if isinstance(row, Image) and isinstance(row.axes[0], Axis):
            given.append(replace(row.detach(0, loop), map=digest("row", row.map)))
        elif not isinstance(row, Image) and row.uniform(0):
            given.append(_row(row, 0))
        else:
            eqn.refuse("a loop along the image is given something else at each turn", PER_ROW)
    results = turn(start, given)
    carried = len(start)
    if not all(map(_same_constant, results, start)):
        eqn.refuse("a loop along the image carries something from row to row", PER_ROW)
    outputs: list[Value] = []
    for k, v in enumerate(results[carried:], carried):
        shape = eqn.call.out_shapes[k]
        if not isinstance(v, Image):
            outputs.append(_stack(eqn, [v], shape))
            continue
        stacked = v.attach(0, shape[0], loop)
        if stacked is None:
            eqn.refuse("a loop along the image gives something that does not depend on its row", PER_ROW)
        outputs.append(eqn.image(stacked.axes, [stacked], out=k, moves=True))
    return [*start, *outputs]


def _same_constant(a: Value, b: Value) -> bool:
    return not isinstance(a, Image) and not isinstance(b, Image) and a.key() == b.key()


def _follow(eqn: Equation, turn: Callable[..., list[Value]], carry: list[Value], length: int) -> list[Value]:
    """All turns one after the other. Of steps that look alike the record keeps one."""
    count = len(carry)
    outputs: list[list[Value]] = []
    order = range(length - 1, -1, -1) if eqn.params["reverse"] else range(length)
    steps = eqn.record.steps
    before = len(steps)
    distinct: dict[Any, tuple[Equation, Image]] = {}
    for at in order:
        results = turn(carry, at)
        for step in steps[before + len(distinct) :]:
            distinct.setdefault(_appearance(step), step)
        steps[before:] = distinct.values()
        carry = results[:count]
        outputs.append(results[count:])
    if eqn.params["reverse"]:
        outputs.reverse()
    shapes = eqn.call.out_shapes[count:]
    return [*carry, *(_stack(eqn, [row[k] for row in outputs], shape) for k, shape in enumerate(shapes))]


def _appearance(step: tuple[Equation, Image]) -> Any:
    """A step without the places where it reads and writes."""
    eqn, image = step
    axes = following(image.axes)
    widths = tuple(tuple(sorted(hi - lo for lo, hi in zip(axis.lo, axis.hi, strict=True))) for axis in axes)
    return eqn.name, eqn.source, tuple((axis.period, axis.phases) for axis in axes), widths


def _row(value: Value, at: int | None) -> Value:
    """One row of what a scan runs over; any row if `at` is None."""
    shape = value.shape[1:]
    if isinstance(value, Image):
        return replace(value.without(0).with_fixed_offset(), map=digest("row", value.name, at))
    if isinstance(value, Known) and at is not None:
        return value.row(at)
    uniform = frozenset(k for k in range(len(shape)) if value.uniform(k + 1))
    return Unknown(shape, digest("row", value.key(), at), uniform)


def _stack(eqn: Equation, rows: Sequence[Value], shape: tuple[int, ...]) -> Value:
    """The rows that a scan returns, as one array."""
    if not rows:
        return Known.of(np.zeros(shape))  # no turn, no element
    value = join_branches(eqn, rows, shape[1:], "stack")
    if isinstance(value, Image):
        names = tuple(v.name if isinstance(v, Image) else v.key() for v in rows)
        return Image(shape, (None, *value.axes), digest("stack", names), detached=value.detached)
    uniform = frozenset(k + 1 for k in range(len(shape) - 1) if value.uniform(k))
    return Unknown(shape, digest("stack", value.key()), uniform)


@rule("while", inert="body_jaxpr body_nconsts cond_jaxpr cond_nconsts", control=True)
def loop(interpreter: Interpreter, eqn: Equation, *values: Value) -> list[Value]:
    """state = body(state) while condition(state): known conditions are followed, unknown ones need steady bounds."""
    if not any(isinstance(v, Image) for v in values):
        return interpreter.fold(eqn, values)
    first, second = eqn.params["cond_nconsts"], eqn.params["body_nconsts"]  # in this order among the operands
    asked, fixed, state = values[:first], values[first : first + second], list(values[first + second :])
    condition, body = _jaxpr.program(eqn.params["cond_jaxpr"]), _jaxpr.program(eqn.params["body_jaxpr"])

    def goes_on(state: Sequence[Value]) -> Known | Unknown:
        (answer,) = interpreter.prove(condition, [*asked, *state], eqn)
        if isinstance(answer, Image):
            eqn.refuse("the length of the loop depends on the image", BRANCH)
        return answer

    def advance(state: list[Value], turns: int) -> tuple[list[Value], bool]:
        """The state after so many turns, or once the condition is unknown or false; and whether the loop has ended."""
        for _ in range(turns):
            answer = goes_on(state)
            if not isinstance(answer, Known):
                return state, False
            if not bool(answer.value):
                return state, True
            state = interpreter.prove(body, [*fixed, *state], eqn)
        return state, False

    state, ended = advance(state, TURNS)
    if ended:
        return state
    try:
        steady = _steady(eqn, lambda s: interpreter.prove(body, [*fixed, *s], eqn), state, "while")
    except CertificationError:
        state, ended = advance(state, MOST_TURNS)
        if not ended:
            raise
        return state
    return [_renamed(v, digest(goes_on(steady).key())) for v in steady]


def _renamed(value: Value, by: str) -> Value:
    """A result of a loop, with what decides the loop's length in its name."""
    if isinstance(value, Image):
        return replace(value.with_fixed_offset(), map=digest(value.name, by), zero=False, finite=False)
    return replace(value, name=digest(value.name, by)) if isinstance(value, Unknown) else value


def _steady(eqn: Equation, body: Callable[[list[Value]], list[Value]], start: list[Value], key: Any) -> list[Value]:
    """Bounds that hold after any number of turns: by induction, since one more turn leaves them as they are."""
    own = digest("carry", key, tuple(v.name if isinstance(v, Image) else v.key() for v in start))
    state = [_any_turn(v, digest(own, k)) for k, v in enumerate(start)]
    for _ in range(ATTEMPTS):
        results = body(state)
        wider = [
            _any_turn(join_branches(eqn, [before, after], before.shape, "turn"), digest(own, k))
            for k, (before, after) in enumerate(zip(state, results, strict=True))
        ]
        if all(map(_same_bounds, state, wider)):
            names = tuple(v.name if isinstance(v, Image) else v.key() for v in results)
            return [_renamed(v, digest(names, k)) for k, v in enumerate(wider)]
        state = wider
    return eqn.refuse("each turn of the loop reads further, without a bound", ENDLESS)


def _any_turn(value: Value, name: str) -> Value:
    """A loop variable as any turn may find it: the name is symbolic and the value unknown."""
    if isinstance(value, Image):
        axes = tuple(mapped(tag, Axis.without_borders) for tag in value.axes)
        detached = tuple((loop, axis.without_borders()) for loop, axis in value.detached)
        return Image(value.shape, axes, name, detached=detached)
    uniform = frozenset(j for j in range(len(value.shape)) if value.uniform(j))
    return Unknown(value.shape, name, uniform)


def _same_bounds(a: Value, b: Value) -> bool:
    if isinstance(a, Image) and isinstance(b, Image):
        return (a.axes, a.detached) == (b.axes, b.detached)
    return isinstance(a, Unknown) and isinstance(b, Unknown) and a.uniform_axes == b.uniform_axes
