"""Operations that run another program once: calls and branches. They see the interpreter."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from shiftjax.certifier import _jaxpr
from shiftjax.certifier._domain import axis as domain
from shiftjax.certifier._domain.axis import Axis, End
from shiftjax.certifier._domain.constants import Known, Unknown
from shiftjax.certifier._domain.naming import digest
from shiftjax.certifier._domain.tags import AxisTag
from shiftjax.certifier._domain.values import Image, Result, Value
from shiftjax.certifier._rules.pointwise import join_operands
from shiftjax.certifier._rules.table import Equation, Interpreter, rule

BRANCH = "Where the program goes must not depend on the image: tiles of one image could take different branches."


@rule(
    "jit",
    inert="jaxpr in_shardings out_shardings in_layouts out_layouts donated_invars ctx_mesh name keep_unused inline "
    "compiler_options_kvs",
    call=True,
)
@rule("remat", inert="jaxpr prevent_cse differentiated policy", call=True)
def call(interpreter: Interpreter, eqn: Equation, *values: Result) -> list[Result]:
    """out = program(in): its equations are named, not the call."""
    return interpreter.run(_jaxpr.program(eqn.params["jaxpr"]), values, eqn)


@rule("custom_jvp_call", inert="call_jaxpr jvp_jaxpr_fun num_consts symbolic_zeros", call=True)
@rule("custom_vjp_call", inert="call_jaxpr fwd_jaxpr_thunk bwd num_consts out_trees symbolic_zeros", call=True)
@rule("closed_call", inert="call_jaxpr", call=True)
def inner_call(interpreter: Interpreter, eqn: Equation, *values: Result) -> list[Result]:
    """out = program(in); what the call says about derivatives does not matter."""
    return interpreter.run(_jaxpr.program(eqn.params["call_jaxpr"]), values, eqn)


@rule("shard_map", inert="jaxpr mesh in_specs out_specs check_vma newly_manual_axes manual_axes", call=True)
def on_devices(interpreter: Interpreter, eqn: Equation, *values: Result) -> list[Result]:
    """out = program(in) on a mesh of one device; on several, each sees a part of the image only."""
    if eqn.params["mesh"].size != 1:
        eqn.refuse("the image is shared out over several devices", "Certify the function of one device's part.")
    return interpreter.run(_jaxpr.program(eqn.params["jaxpr"]), values, eqn)


@rule("cond", inert="branches branches_platforms", control=True)
def cond(interpreter: Interpreter, eqn: Equation, index: Value, *values: Value) -> list[Value]:
    """out = branches[index](in): a known branch is taken, an unknown one stands for all of them."""
    branches = [_jaxpr.program(branch) for branch in eqn.params["branches"]]
    if isinstance(index, Image):
        eqn.refuse("the branch depends on the image", BRANCH)
    if isinstance(index, Known):
        return interpreter.prove(branches[int(np.clip(int(index.value), 0, len(branches) - 1))], values, eqn)
    results, recorded = [], []
    steps, misaligned = eqn.record.steps, eqn.record.misaligned
    before, aligned = len(steps), len(misaligned)
    for branch in branches:
        results.append(interpreter.prove(branch, values, eqn))
        recorded.append((steps[before:], misaligned[aligned:]))
        del steps[before:], misaligned[aligned:]
    if eqn.params.get("branches_platforms") is not None:  # forms of one program: the page speaks of the shortest
        recorded = [min(recorded, key=lambda entries: len(entries[0]))]
    steps += itertools.chain(*(own for own, _ in recorded))
    misaligned += itertools.chain(*(own for _, own in recorded))
    joined = [
        join_branches(eqn, alternatives, eqn.call.out_shapes[k], index.key())
        for k, alternatives in enumerate(zip(*results, strict=True))
    ]
    # Copies: an array that looks the same in all branches, as far as it is known, is not made by the first of them.
    return [replace(value) if isinstance(value, Image) else value for value in joined]


def join_branches(eqn: Equation, alternatives: Sequence[Value], shape: tuple[int, ...], choice: str) -> Value:
    """The value that is one of these, by an unknown choice that does not depend on the image.

    Its bounds are the hull of all of theirs, which holds whatever is chosen; the choice is the same for every tile.
    """
    images = [v for v in alternatives if isinstance(v, Image)]
    if len(images) == len(alternatives) and all(_same_map(v, images[0]) for v in images):
        return _within_all(images, choice)
    if any(isinstance(v, Image) for v in alternatives):
        axes, operands = join_operands(eqn, alternatives, shape)
        joined = [o for o in operands if isinstance(o, Image)]
        names = tuple(o.name if isinstance(o, Image) else o for o in operands)
        either = Image(shape, tuple(axes), digest("either", choice, names), detached=eqn.detached(joined))
        return either.with_borders("either", choice, [o for o in operands if isinstance(o, str)])
    constants = [v for v in alternatives if not isinstance(v, Image)]
    keys = [v.key() for v in constants]
    if len(set(keys)) == 1:
        return alternatives[0]
    uniform = frozenset(k for k in range(len(shape)) if all(v.uniform(k) for v in constants))
    return Unknown(shape, digest("either", choice, tuple(keys)), uniform)


def _same_map(one: Image, other: Image) -> bool:
    """Whether two arrays differ at most in how far they are exact and in how their ends are treated."""

    def bare(image: Image) -> Image:
        axes = [replace(tag, exact=(0, 0), start=0, stop=0) if isinstance(tag, Axis) else tag for tag in image.axes]
        return replace(image, axes=tuple(axes), parts=())

    plain = one == other and one.borders == other.borders
    alone = all(tag is None or isinstance(tag, Axis) for tag in one.axes)
    return plain or (bare(one) == bare(other) and alone and not one.detached)


def _within_all(images: Sequence[Image], choice: str) -> Image:
    """One of several arrays of one map: exact where all are, with the choice in the names of ends that differ."""
    if all(image == images[0] and image.borders == images[0].borders for image in images):
        return images[0]

    def end(ends: tuple[End, ...]) -> End:
        return ends[0] if len(set(ends)) == 1 else domain.joined(ends, ("either", choice))

    axes: list[AxisTag] = []
    for tags in zip(*(image.axes for image in images), strict=True):
        along = [tag for tag in tags if isinstance(tag, Axis)]
        if not along:
            axes.append(tags[0])
            continue
        begin = max(axis.exact[0] for axis in along)
        exact = begin, max(begin, min(axis.exact[1] for axis in along))
        start, stop = max(axis.start for axis in along), min(axis.stop for axis in along)
        left, right = zip(*(axis.border for axis in along), strict=True)
        axes.append(replace(along[0], exact=exact, start=start, stop=stop, border=(end(left), end(right))))
    return replace(images[0], axes=tuple(axes), parts=())
