"""Operations that run another program once: calls and branches. They see the interpreter."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from shiftjax.certifier import _jaxpr
from shiftjax.certifier._domain.constants import Known, Unknown
from shiftjax.certifier._domain.naming import digest
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
    """out = program(in); the rules of differentiation play no part."""
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
    steps = eqn.record.steps
    before = len(steps)
    for branch in branches:
        results.append(interpreter.prove(branch, values, eqn))
        recorded.append(steps[before:])
        del steps[before:]
    if eqn.params.get("branches_platforms") is not None:
        recorded = [min(recorded, key=len)]  # forms of one program for several platforms: the page shows the shortest
    steps += itertools.chain(*recorded)
    return [
        join_branches(eqn, alternatives, eqn.call.out_shapes[k], index.key())
        for k, alternatives in enumerate(zip(*results, strict=True))
    ]


def join_branches(eqn: Equation, alternatives: Sequence[Value], shape: tuple[int, ...], choice: str) -> Value:
    """The value that is one of these, by a choice that does not depend on the image.

    Its bounds are those of all together, which hold whatever the choice is, the same for every tile.
    """
    first = alternatives[0]
    if all(isinstance(v, Image) and v == first and v.borders == first.borders for v in alternatives):
        return first
    if any(isinstance(v, Image) for v in alternatives):
        axes, operands = join_operands(eqn, alternatives, shape)
        images = [o for o in operands if isinstance(o, Image)]
        names = tuple(o.name if isinstance(o, Image) else o for o in operands)
        either = Image(shape, tuple(axes), digest("either", choice, names), detached=eqn.detached(images))
        return either.with_borders("either", choice, [o for o in operands if isinstance(o, str)])
    constants = [v for v in alternatives if not isinstance(v, Image)]
    keys = [v.key() for v in constants]
    if len(set(keys)) == 1:
        return alternatives[0]
    uniform = frozenset(k for k in range(len(shape)) if all(v.uniform(k) for v in constants))
    return Unknown(shape, digest("either", choice, tuple(keys)), uniform)
