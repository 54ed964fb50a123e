"""A canary: the parameters of each primitive on the installed JAX. A change here is a change of meaning to look at."""

from __future__ import annotations

import pytest

from proofs_tests.certifier.cases import CASES
from proofs_tests.certifier.test_rules import equations, trace
from shiftjax.certifier import _jaxpr
from shiftjax.certifier._rules import TABLE, pointwise

POOL = {"window_dimensions", "window_strides", "padding", "base_dilation", "window_dilation"}
SCATTER = {"dimension_numbers", "indices_are_sorted", "mode", "unique_indices", "update_consts", "update_jaxpr"}
CUMULATIVE = {"axis", "reverse"}

# What each rule was written for: the parameters always there, then those that some versions of JAX add.
KNOWN: dict[str, tuple[set[str], set[str]]] = {
    "conv_general_dilated": (
        {"window_strides", "padding", "lhs_dilation", "rhs_dilation", "dimension_numbers"}
        | {"feature_group_count", "batch_group_count", "precision", "preferred_element_type"},
        {"out_sharding"},
    ),
    "reduce_window_max": (POOL, set()),
    "reduce_window_min": (POOL, set()),
    "reduce_window_sum": (POOL, set()),
    "reduce_window": (POOL | {"jaxpr", "consts"}, set()),
    "pad": ({"padding_config"}, set()),
    "slice": ({"start_indices", "limit_indices", "strides"}, set()),
    "broadcast_in_dim": ({"shape", "broadcast_dimensions", "sharding"}, set()),
    "reshape": ({"new_sizes", "dimensions", "sharding"}, set()),
    "transpose": ({"permutation"}, set()),
    "squeeze": ({"dimensions"}, set()),
    "concatenate": ({"dimension"}, set()),
    "rev": ({"dimensions"}, set()),
    "split": ({"sizes", "axis"}, set()),
    "stack": ({"axis"}, set()),
    "unstack": ({"axis"}, set()),
    "tile": ({"reps"}, set()),
    "dot_general": ({"dimension_numbers", "precision", "preferred_element_type", "out_sharding"}, set()),
    "reduce_sum": ({"axes", "out_sharding"}, set()),
    "reduce_max": ({"axes"}, {"out_sharding"}),
    "reduce_min": ({"axes"}, {"out_sharding"}),
    "reduce_prod": ({"axes"}, {"out_sharding"}),
    "reduce_and": ({"axes"}, {"out_sharding"}),
    "reduce_or": ({"axes"}, {"out_sharding"}),
    "reduce_xor": ({"axes"}, {"out_sharding"}),
    "argmax": ({"axes", "index_dtype"}, set()),
    "argmin": ({"axes", "index_dtype"}, set()),
    "cumsum": (CUMULATIVE, set()),
    "cumprod": (CUMULATIVE, set()),
    "cummax": (CUMULATIVE, set()),
    "cummin": (CUMULATIVE, set()),
    "cumlogsumexp": (CUMULATIVE, set()),
    "sort": ({"dimension", "is_stable", "num_keys"}, set()),
    "top_k": ({"k", "axis"}, {"is_stable"}),
    "approx_top_k": (
        {"k", "reduction_dimension", "recall_target", "is_max_k", "reduction_input_size_override", "aggregate_to_topk"},
        set(),
    ),
    "reduce": ({"computation", "dimensions", "jaxpr"}, set()),
    "fft": ({"fft_lengths", "fft_type"}, set()),
    "dynamic_slice": ({"slice_sizes"}, set()),
    "dynamic_update_slice": (set(), set()),
    **{name: (SCATTER, set()) for name in TABLE if name.startswith("scatter")},
    "gather": (
        {"dimension_numbers", "slice_sizes", "indices_are_sorted", "unique_indices", "mode", "fill_value"},
        set(),
    ),
    "jit": (
        {"jaxpr", "in_shardings", "out_shardings", "in_layouts", "out_layouts", "donated_invars", "ctx_mesh", "name"}
        | {"keep_unused", "inline", "compiler_options_kvs"},
        set(),
    ),
    "remat": ({"jaxpr", "prevent_cse", "differentiated", "policy"}, set()),
    "custom_jvp_call": ({"call_jaxpr", "jvp_jaxpr_fun", "num_consts", "symbolic_zeros"}, set()),
    "custom_vjp_call": ({"call_jaxpr", "fwd_jaxpr_thunk", "bwd", "num_consts", "out_trees", "symbolic_zeros"}, set()),
    "cond": ({"branches"}, {"branches_platforms"}),
    "scan": ({"jaxpr", "length", "reverse", "unroll"}, {"num_consts", "num_carry", "ft_in", "ft_out"}),
    "while": ({"cond_nconsts", "cond_jaxpr", "body_nconsts", "body_jaxpr"}, set()),
    "optimization_barrier": (set(), set()),
    "device_put": ({"devices", "srcs", "copy_semantics"}, set()),
    "bitcast_convert_type": ({"new_dtype"}, set()),
}
POINTWISE = {*pointwise.UNARY.split(), *pointwise.BINARY.split(), *pointwise.OTHER.split()}


@pytest.mark.parametrize("name", KNOWN)
def test_parameters_are_those_the_rule_was_written_for(name: str) -> None:
    """On every equation of the cases that use the primitive."""
    always, sometimes = KNOWN[name]
    primitive = _jaxpr.primitive(name)
    if primitive is None:
        pytest.skip(f"this JAX has no {name}")
    seen = [e for case in CASES if name in case.primitives for e in equations(trace(case)) if e.primitive is primitive]
    assert seen
    for eqn in seen:
        assert always <= set(eqn.params) <= always | sometimes
    assert always | sometimes <= TABLE[name].parameters


def test_every_rule_is_watched() -> None:
    """Pointwise operations share one short list of parameters that do not move pixels."""
    assert set(TABLE) - POINTWISE - {"closed_call"} == set(KNOWN)
    extras = {"accuracy", "new_dtype", "weak_type", "sharding", "y", "name", "exponent_bits", "mantissa_bits"}
    assert TABLE["add"].parameters == extras | {"rounding_method", "input_dtype", "out_dtype"}
