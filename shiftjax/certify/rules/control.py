"""Operations that run other programs: calls, branches and loops."""

from __future__ import annotations

from shiftjax.certify import _adapter as adapter
from shiftjax.certify._values import Value
from shiftjax.certify.rules._table import Equation, rule


@rule(
    "jit",
    params="jaxpr in_shardings out_shardings in_layouts out_layouts donated_invars ctx_mesh name keep_unused inline "
    "compiler_options_kvs",
    control=True,
)
def jit(eqn: Equation, *values: Value) -> list[Value]:
    return eqn.run(adapter.program(eqn.params["jaxpr"]), values)


@rule("remat", params="jaxpr prevent_cse differentiated policy", control=True)
def remat(eqn: Equation, *values: Value) -> list[Value]:
    return eqn.run(adapter.program(eqn.params["jaxpr"]), values)


@rule("closed_call", params="call_jaxpr", control=True)
def closed_call(eqn: Equation, *values: Value) -> list[Value]:
    return eqn.run(adapter.program(eqn.params["call_jaxpr"]), values)


@rule("custom_jvp_call", params="call_jaxpr jvp_jaxpr_fun num_consts symbolic_zeros", control=True)
def custom_jvp_call(eqn: Equation, *values: Value) -> list[Value]:
    return eqn.run(adapter.program(eqn.params["call_jaxpr"]), values)


@rule("custom_vjp_call", params="call_jaxpr fwd_jaxpr_thunk bwd num_consts out_trees symbolic_zeros", control=True)
def custom_vjp_call(eqn: Equation, *values: Value) -> list[Value]:
    return eqn.run(adapter.program(eqn.params["call_jaxpr"]), values)
