"""Operations that run other programs: calls, branches and loops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from shiftjax.certifier import _jaxpr as adapter
from shiftjax.certifier._domain import axis as domain
from shiftjax.certifier._domain.values import Image, Known, Unknown, Value, digest
from shiftjax.certifier._rules.pointwise import together
from shiftjax.certifier._rules.table import Equation, rule

TURNS = 256  # turns of a loop that are followed one by one
WIDER = 8  # attempts at bounds that hold for any number of turns
BRANCH = "Where the program goes must not depend on the image: tiles of one image could take different ways."
ENDLESS = "Give the loop a known length, or bodies that keep the receptive field (as 1x1 convolutions do)."


@rule(
    "jit",
    params="jaxpr in_shardings out_shardings in_layouts out_layouts donated_invars ctx_mesh name keep_unused inline "
    "compiler_options_kvs",
    control=True,
)
@rule("remat", params="jaxpr prevent_cse differentiated policy", control=True)
def call(eqn: Equation, *values: Value) -> list[Value]:
    return eqn.run(adapter.program(eqn.params["jaxpr"]), values)


@rule("custom_jvp_call", params="call_jaxpr jvp_jaxpr_fun num_consts symbolic_zeros", control=True)
@rule("custom_vjp_call", params="call_jaxpr fwd_jaxpr_thunk bwd num_consts out_trees symbolic_zeros", control=True)
@rule("closed_call", params="call_jaxpr", control=True)
def inner_call(eqn: Equation, *values: Value) -> list[Value]:
    return eqn.run(adapter.program(eqn.params["call_jaxpr"]), values)


@rule("cond", params="branches branches_platforms", control=True)
def cond(eqn: Equation, index: Value, *values: Value) -> list[Value]:
    """A known branch is taken; an unknown one, if it does not depend on the image, stands for all of them."""
    branches = [adapter.program(branch) for branch in eqn.params["branches"]]
    if isinstance(index, Image):
        eqn.refuse("the branch depends on the image", BRANCH)
    if isinstance(index, Known):
        return eqn.run(branches[int(np.clip(int(index.value), 0, len(branches) - 1))], values)
    results = [eqn.run(branch, values) for branch in branches]
    return [
        either(eqn, found, eqn.call.out_shapes[k], index.identity())
        for k, found in enumerate(zip(*results, strict=True))
    ]


def either(eqn: Equation, found: Sequence[Value], shape: tuple[int, ...], choice: str) -> Value:
    """A value that is one of these, and nobody knows which."""
    if all(isinstance(v, Image) and v == found[0] for v in found):
        return found[0]
    if any(isinstance(v, Image) for v in found):
        axes, names = together(eqn, found, shape)
        parts = tuple(n.name if isinstance(n, Image) else n for n in names)
        return Image(shape, tuple(axes), digest("either", choice, parts))
    constants = [v for v in found if not isinstance(v, Image)]
    names = [v.identity() for v in constants]
    if len(set(names)) == 1:
        return found[0]
    even = frozenset(k for k in range(len(shape)) if all(v.uniform(k) for v in constants))
    return Unknown(shape, digest("either", choice, tuple(names)), even)


@rule(
    "scan", params="jaxpr length reverse unroll num_consts num_carry linear ft_in ft_out _split_transpose", control=True
)
def scan(eqn: Equation, *values: Value) -> list[Value]:
    """Followed turn by turn if short; otherwise by bounds that one more turn leaves as they are."""
    if not any(isinstance(v, Image) for v in values):
        return eqn.fold(values)
    constants, carried = adapter.scan_parts(eqn.params, len(values))
    fixed, start, rows = (
        values[:constants],
        list(values[constants : constants + carried]),
        values[constants + carried :],
    )
    body, length = adapter.program(eqn.params["jaxpr"]), eqn.params["length"]
    if any(isinstance(row, Image) and row.axes[0] is not None for row in rows):
        eqn.refuse("the loop runs along the image", "Loops may run over channels or layers, not over space.")

    def turn(carry: Sequence[Value], at: int | None) -> list[Value]:
        return eqn.run(body, [*fixed, *carry, *(_row(row, at) for row in rows)])

    if length <= TURNS:
        return _follow(eqn, turn, start, length)
    carry = _steady(eqn, lambda state: turn(state, None)[:carried], start, ("scan", length))
    outputs = turn(carry, None)[carried:]
    return [*carry, *(_stack(eqn, [v], eqn.call.out_shapes[carried + k]) for k, v in enumerate(outputs))]


def _follow(eqn: Equation, turn: Callable[..., list[Value]], carry: list[Value], length: int) -> list[Value]:
    count = len(carry)
    outputs: list[list[Value]] = []
    order = range(length - 1, -1, -1) if eqn.params["reverse"] else range(length)
    steps = eqn.record.steps
    known = len(steps)
    looks: dict[Any, tuple[Equation, Image]] = {}
    for at in order:
        found = turn(carry, at)
        for step in steps[known:]:
            looks.setdefault(_look(step), step)
        steps[known:] = looks.values()
        carry = found[:count]
        outputs.append(found[count:])
    if eqn.params["reverse"]:
        outputs.reverse()
    shapes = eqn.call.out_shapes[count:]
    return [*carry, *(_stack(eqn, [row[k] for row in outputs], shape) for k, shape in enumerate(shapes))]


def _look(step: tuple[Equation, Image]) -> Any:
    """A step up to where it reads and writes: those that look alike are shown once per loop."""
    eqn, image = step
    axes = domain.plain(image.axes)
    widths = tuple(tuple(sorted(hi - lo for lo, hi in zip(tag.lo, tag.hi, strict=True))) for tag in axes)
    return eqn.name, eqn.source, tuple((tag.period, tag.phases) for tag in axes), widths


def _row(value: Value, at: int | None) -> Value:
    """One row of what a scan runs over; any row if `at` is None."""
    shape = value.shape[1:]
    if isinstance(value, Image):
        return Image(shape, value.axes[1:], digest("row", value.name, at))
    even = frozenset(k for k in range(len(shape)) if value.uniform(k + 1))
    if isinstance(value, Known) and at is not None:
        return Known.of(np.asarray(value.value[at]), value.origin)
    name = digest("row", value.identity(), at)
    if isinstance(value, Known):
        return Unknown(shape, name, even)
    return Unknown(shape, name, even, value.generic, value.leaves)


def _stack(eqn: Equation, rows: Sequence[Value], shape: tuple[int, ...]) -> Value:
    """The rows that a scan puts out, as one array."""
    if not rows:
        return Known.of(np.zeros(shape))
    value = either(eqn, rows, shape[1:], "stack")
    if isinstance(value, Image):
        name = digest("stack", tuple(v.name if isinstance(v, Image) else v.identity() for v in rows))
        return Image(shape, (None, *value.axes), name)
    return Unknown(
        shape, digest("stack", value.identity()), frozenset(k + 1 for k in range(len(shape) - 1) if value.uniform(k))
    )


@rule("while", params="body_jaxpr body_nconsts cond_jaxpr cond_nconsts", control=True)
def loop(eqn: Equation, *values: Value) -> list[Value]:
    """The condition's constants come first. Known conditions are followed, unknown ones need steady bounds."""
    if not any(isinstance(v, Image) for v in values):
        return eqn.fold(values)
    first, second = eqn.params["cond_nconsts"], eqn.params["body_nconsts"]
    asked, fixed, carry = values[:first], values[first : first + second], list(values[first + second :])
    condition, body = adapter.program(eqn.params["cond_jaxpr"]), adapter.program(eqn.params["body_jaxpr"])

    def goes_on(state: Sequence[Value]) -> Value:
        (found,) = eqn.run(condition, [*asked, *state])
        if isinstance(found, Image):
            eqn.refuse("the length of the loop depends on the image", BRANCH)
        return found

    for _ in range(TURNS):
        found = goes_on(carry)
        if not isinstance(found, Known):
            break
        if not bool(found.value):
            return carry
        carry = eqn.run(body, [*fixed, *carry])
    state = _steady(eqn, lambda c: eqn.run(body, [*fixed, *c]), carry, "while")
    return [_renamed(v, digest(goes_on(state).identity())) for v in state]  # type: ignore[union-attr]


def _renamed(value: Value, by: str) -> Value:
    """What a loop of unknown length leaves: named by its condition too."""
    if isinstance(value, Image):
        return replace(value.frozen(), map=digest(value.name, by))
    return replace(value, name=digest(value.name, by)) if isinstance(value, Unknown) else value


def _steady(eqn: Equation, body: Callable[[list[Value]], list[Value]], start: list[Value], key: Any) -> list[Value]:
    """Bounds that hold after any number of turns: wide enough that one more leaves them as they are."""
    own = digest("carry", key, tuple(v.name if isinstance(v, Image) else v.identity() for v in start))
    state = [_widened(v, digest(own, k)) for k, v in enumerate(start)]
    for _ in range(WIDER):
        found = body(state)
        wider = [_wider(eqn, a, b, digest(own, k)) for k, (a, b) in enumerate(zip(state, found, strict=True))]
        if all(map(_same_bounds, state, wider)):
            names = tuple(v.name if isinstance(v, Image) else v.identity() for v in found)
            return [_renamed(v, digest(names, k)) for k, v in enumerate(wider)]
        state = wider
    return eqn.refuse("each turn of the loop reads further, without a bound", ENDLESS)


def _widened(value: Value, name: str) -> Value:
    """A loop variable as any turn may find it: the name is symbolic and the value unknown."""
    if isinstance(value, Image):
        return Image(value.shape, value.axes, name)
    even = frozenset(j for j in range(len(value.shape)) if value.uniform(j))
    return Unknown(value.shape, name, even)


def _wider(eqn: Equation, before: Value, after: Value, name: str) -> Value:
    return _widened(either(eqn, [before, after], before.shape, "turn"), name)


def _same_bounds(a: Value, b: Value) -> bool:
    if isinstance(a, Image) and isinstance(b, Image):
        return a.axes == b.axes
    return isinstance(a, Unknown) and isinstance(b, Unknown) and a.even == b.even
