"""The assertions and strategies for other people's test suites, and the suite's own bookkeeping."""

from collections import Counter
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.tree_util import Partial

import shiftjax as sj
from proofs_tests.support import record
from proofs_tests.support.report import Row
from shiftjax import testing
from shiftjax.testing import strategies
from shiftjax.testing._claims import (
    CONTRADICTED,
    NOT_APPLICABLE,
    NOT_PROVED,
    PROVED,
    Subject,
    capacity_bound,
    examine,
    receptive_field,
    stitching,
)
from shiftjax.testing._comparison import first_difference

FACTORS = (2, 2)


def _net(size, **options):
    net = sj.UNet(2, features=2, factors=FACTORS, convs=1, param_dtype=jnp.int32, **options)
    x = jax.ShapeDtypeStruct((1, size, size, 1), jnp.int32)
    return Partial(net.apply, testing.integer_variables(jax.random.key(0), net, x)), x


@pytest.fixture(scope="module")
def valid():
    return _net(38)


@pytest.fixture(scope="module")
def same():
    return _net(44, padding="SAME")


def test_a_valid_net_passes_both_assertions(valid):
    fn, x = valid
    testing.assert_periodic_equivariant(fn, x)
    testing.assert_periodic_equivariant(fn, x, period=8, key=jax.random.key(1))
    testing.assert_stitches(fn, sj.plan_tiles(fn, (1, 33, 30, 1), tile=8, dtype=jnp.int32))


@pytest.mark.parametrize(("period", "shift"), [(2, r"\(2, 0\)"), ((4, 3), r"\(0, 3\)")])
def test_another_period_is_refuted_with_the_smallest_shift(valid, period, shift):
    with pytest.raises(AssertionError, match=f"moving the image by {shift} px does not move the output along"):
        testing.assert_periodic_equivariant(*valid, period=period)


def test_same_padding_is_refuted_and_the_exact_window_named(same):
    with pytest.raises(AssertionError, match=r"by \(4, 0\) px .* exact window \[\d+, \d+\)"):
        testing.assert_periodic_equivariant(*same)


def test_without_a_certificate_a_period_is_asked_for(valid):
    def centred(x):
        return x - jnp.sum(x)

    with pytest.raises(AssertionError, match=r"no period is known.*reduce_sum"):
        testing.assert_periodic_equivariant(centred, valid[1])
    with pytest.raises(AssertionError, match="does not move the output along"):
        testing.assert_periodic_equivariant(centred, valid[1], period=4)


def test_an_output_too_small_to_compare_is_an_error(valid):
    with pytest.raises(AssertionError, match="too small to be moved by"):
        testing.assert_periodic_equivariant(*valid, period=40)


def test_illegal_tiles_do_not_stitch(valid):
    fn, _ = valid
    plan = sj.plan_tiles(fn, (1, 33, 30, 1), tile=7, dtype=jnp.int32, illegal_tile=True)
    with pytest.raises(AssertionError, match="no multiple of the period"):
        testing.assert_stitches(fn, plan)


def test_a_wrong_plan_is_refuted_by_arithmetic(valid):
    fn, _ = valid
    other = Partial(lambda params, x: fn(x) + x.shape[1], None)
    plan = sj.plan_tiles(other, (1, 33, 30, 1), tile=8, dtype=jnp.int32)
    assert not plan.equals_whole
    with pytest.raises(AssertionError, match="differs from that of the whole image at"):
        testing.assert_stitches(other, replace(plan, why=""))


def test_verdicts_about_a_valid_net(valid):
    assert {v.claim: v.verdict for v in examine(*valid)} == dict.fromkeys(
        [
            "certificate",
            "periodic-equivariance",
            "period-is-minimal",
            "receptive-field",
            "stitching",
            "capacity-bound",
        ],
        PROVED,
    )


def test_verdicts_about_a_same_padded_net(same):
    verdicts = {v.claim: v for v in examine(*same)}
    assert verdicts["periodic-equivariance"].verdict == CONTRADICTED
    assert "(4, 0)" in verdicts["periodic-equivariance"].detail
    assert verdicts["stitching"].contradicted
    assert "keeps (4, 4) px" in verdicts["stitching"].detail
    assert verdicts["receptive-field"].verdict == PROVED


def test_verdicts_without_a_certificate(valid):
    verdicts = {v.claim: v.verdict for v in examine(lambda x: x - jnp.sum(x), valid[1])}
    assert verdicts.pop("periodic-equivariance") == CONTRADICTED
    assert verdicts.pop("certificate") == NOT_PROVED
    assert set(verdicts.values()) == {NOT_APPLICABLE}


def test_float_nets_are_judged_above_rounding_only():
    one = np.ones(3, np.float32)
    nearly = one + np.float32(100 * 2**-23)
    assert first_difference(nearly, one) is None
    assert first_difference(one + np.float32(200 * 2**-23), one) == (0,)
    assert first_difference(one.astype(np.int32), np.array([1, 1, 2], np.int32)) == (2,)
    assert first_difference(one * np.nan, one) == (0,)


def test_equality_of_whole_infinite_and_complex_numbers():
    big = np.array([2**53], np.int64)
    assert first_difference(big + 1, big) == (0,)
    infinite = np.array([np.inf, 1, 2], np.float32)
    assert first_difference(infinite, infinite) is None
    assert first_difference(infinite + np.array([0, 0, 1], np.float32), infinite) == (2,)
    assert first_difference(np.array([np.inf], np.float32), np.ones(1, np.float32)) == (0,)
    assert first_difference(np.array([1 + 2j]), np.array([1 + 3j])) == (0,)
    assert first_difference(np.array([1 + 3j]), np.array([1 + 3j])) is None


def _blocky(x):
    """A map of period 2: each pixel is the first of its pair."""
    return jnp.repeat(x[:, ::2], 2, axis=1)


@pytest.mark.parametrize(
    ("fn", "dtype"),
    [
        (_blocky, jnp.bool_),
        (lambda x: jax.lax.complex(x, _blocky(x)), jnp.float32),
        (lambda x: jnp.concatenate([_blocky(x), jnp.full(x.shape, -jnp.inf)], -1), jnp.float32),
    ],
)
def test_a_wrong_period_shows_in_numbers_of_every_kind(fn, dtype):
    """In truth values, imaginary parts, and beside infinity; the right one passes."""
    x = jax.ShapeDtypeStruct((1, 16, 1), dtype)
    testing.assert_periodic_equivariant(fn, x, period=2)
    with pytest.raises(AssertionError, match="moving the image by"):
        testing.assert_periodic_equivariant(fn, x, period=1)


def test_verdicts_about_a_mask_and_about_floats_of_whole_numbers():
    """Truth values are compared as they are; floats up to rounding, whatever the image is made of."""
    mask = examine(lambda x: _blocky(x) > 0, jax.ShapeDtypeStruct((1, 16, 1), jnp.float32))
    assert {v.verdict for v in mask} == {PROVED}
    rounded = examine(lambda x: x + 1e-9 * _blocky(x), jax.ShapeDtypeStruct((1, 16, 1), jnp.uint8))
    assert next(v.verdict for v in rounded if v.claim == "period-is-minimal") == NOT_PROVED


def test_a_field_that_is_too_small_is_contradicted_for_every_key():
    """What lies outside is drawn anew, whichever key draws the image."""
    x = jax.ShapeDtypeStruct((1, 16, 1), jnp.int32)
    for key in (None, jax.random.key(1)):
        subject = Subject(lambda x: x[:, 1:] + x[:, :-1], x, key=key)
        proof: Any = subject.certificate
        assert receptive_field(subject, proof)[0] == PROVED
        too_small = replace(proof.leaves[0].axes[0], hi=(0,))
        leaf = replace(proof.leaves[0], axes=(too_small,))
        assert receptive_field(subject, replace(proof, leaves=(leaf,)))[0] == CONTRADICTED


def test_integer_variables_are_odd_and_repeatable():
    net = sj.UNet(2, features=3, factors=(2,))
    x = jax.ShapeDtypeStruct((1, 20, 20, 1), jnp.float32)
    a, b, c = (testing.integer_variables(jax.random.key(k), net, x) for k in (0, 0, 1))
    assert jax.tree.map(np.shape, a) == jax.tree.map(np.shape, jax.eval_shape(net.init, jax.random.key(0), x))
    assert all(leaf.dtype == np.int32 and (leaf % 2 == 1).all() for leaf in jax.tree.leaves(a))
    assert jax.tree.all(jax.tree.map(np.array_equal, a, b))
    assert not jax.tree.all(jax.tree.map(np.array_equal, a, c))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"upsample": "nearest"}, "learned upsampling"),
        ({"norm": "batch"}, "no norm"),
        ({"features": 1, "growth": 1}, "two channels"),
    ],
)
def test_the_phase_code_says_what_it_needs(options, words):
    net = sj.UNet(1, **{"factors": (2,), **options})
    with pytest.raises(ValueError, match=words):
        testing.phase_code(net, jax.ShapeDtypeStruct((1, 20, 20, 1), jnp.float32))


def test_the_phase_code_is_the_phase():
    net = sj.UNet(2, features=2, factors=((2, 3), (2, 1)), convs=1)
    x = jnp.ones((1, *(axis[-1][0] for axis in net.legal_sizes(30)), 1))
    code = np.asarray(net.apply(testing.phase_code(net, x), x))[0]
    assert sorted(np.unique(code[..., 0])) == list(range(12))
    assert (code[..., 1] == 0).all()
    assert np.array_equal(code[4:, 3:], code[:-4, :-3])


def test_the_splitting_map_refuses_another_rank():
    with pytest.raises(ValueError, match="`period`: expected 2 integers"):
        testing.splitting_map(np.zeros((4, 4), np.int32), period=(2,))


SEEN: Counter = Counter()


@settings(max_examples=150, deadline=None, derandomize=True)  # of 12 random runs, 2 had no network of three levels
@given(st.data())
def test_strategies_build_legal_cases_of_all_kinds(data):
    net = data.draw(strategies.architectures())
    size = data.draw(strategies.legal_inputs(net))
    output = [axis.walk(n).output for axis, n in zip(net.geometry, size, strict=True)]
    assert all(n >= p for n, p in zip(output, net.period, strict=True))
    assert max(strategies.input_for(net, [2 * p for p in net.period])) <= strategies.PIXELS[net.ndim]
    shift = data.draw(strategies.shifts(net.period, output))
    assert all(s % p == 0 and abs(s) < n for s, p, n in zip(shift, net.period, output, strict=True))
    if max(net.period) > 1:
        off = data.draw(strategies.off_period_shifts(net.period, output))
        assert any(s % p for s, p in zip(off, net.period, strict=True))
        assert all(abs(s) < n for s, n in zip(off, output, strict=True))
    basis = data.draw(strategies.lattices(net.ndim))
    assert np.linalg.matrix_rank(np.array(basis)) == len(basis)
    SEEN[f"{net.ndim}-D"] += 1
    SEEN[f"levels {len(net.factors)}"] += 1
    SEEN[net.upsample] += 1
    SEEN[f"crop {net.crop}"] += 1
    SEEN["anisotropic"] += any(isinstance(f, tuple) and len(set(f)) > 1 for f in net.factors)


def test_and_all_kinds_were_seen():
    kinds = ["1-D", "2-D", "3-D", "levels 0", "levels 1", "levels 2", "levels 3", "learned", "nearest", "anisotropic"]
    missing = [kind for kind in [*kinds, "crop None", "crop top", "crop every"] if not SEEN[kind]]
    assert not missing


def test_an_accepted_control_is_an_error_and_a_rejected_one_is_counted():
    record.start()
    with record.rejected("some net"):
        raise AssertionError
    assert (record.current.controls, record.current.architectures) == (1, {"'some net'"})
    with pytest.raises(record.NotRejectedError), record.rejected("some net"):
        pass
    assert record.current.controls == 1


def test_rounding_is_measured_in_units_of_the_largest_value():
    record.start()
    wanted = np.array([0, 1], np.float32)
    record.rounding(wanted + np.float32(3 * 2**-23), wanted, bound=4)
    assert record.current.ulp == 3
    with pytest.raises(AssertionError, match=r"8\.0 units in the last place"):
        record.rounding(wanted + np.float32(2**-20), wanted, bound=4)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({}, "holds"),
        ({"passed": {"test_holds"}}, "partly run"),
        ({"deselected": 1}, "partly run"),
        ({"records": [{"controls": 0, "examples": 5}]}, "partly run"),
        ({"passed": set()}, "not run"),
        ({"failures": ["test_holds: no"]}, "fails"),
    ],
)
def test_a_claim_holds_only_if_all_of_it_ran_and_a_control_was_rejected(change, status):
    tests = {"test_holds", "test_control"}
    row = Row(tests=tests, passed=set(tests), records=[{"controls": 1, "examples": 5}])
    for name, value in change.items():
        setattr(row, name, value)
    assert row.status == status


def _position(x):
    return jnp.arange(x.shape[1])[None, :, None, None]


@pytest.mark.parametrize(
    ("dtype", "leaking"),
    [
        (bool, lambda x: x | (_position(x) > 3)),  # all true, if the image is
        (jnp.int32, lambda x: jax.nn.relu(-x) * _position(x)),  # zero, if the image is positive
        (jnp.float32, lambda x: x + 1j * _position(x)),
        (jnp.float32, lambda x: jnp.where(_position(x) == 9, jnp.inf, x + _position(x))),
    ],
)
def test_what_depends_on_the_position_is_seen_in_every_type_of_numbers(dtype, leaking):
    x = jax.ShapeDtypeStruct((1, 12, 5, 1), dtype)
    with pytest.raises(AssertionError, match="does not move the output along"):
        testing.assert_periodic_equivariant(leaking, x, period=1)
    testing.assert_periodic_equivariant(lambda x: ~x if dtype is bool else -x, x, period=1)  # control


def test_the_same_infinity_is_no_difference_and_another_one_is():
    testing.assert_periodic_equivariant(
        lambda x: jnp.log(jax.nn.relu(x)), jax.ShapeDtypeStruct((1, 9, 9, 1), jnp.float32)
    )
    infinite = np.array([1, -np.inf, np.inf], np.float32)
    assert first_difference(infinite, infinite) is None
    assert first_difference(-infinite, infinite) == (0,)
    assert first_difference(infinite[::-1], infinite) == (0,)
    assert first_difference(np.array([1, 2, np.inf], np.float32), infinite) == (1,)
    assert first_difference(np.array([2**53 + 1]), np.array([2**53])) == (0,)  # float64 holds one of them only


def test_functions_of_booleans_are_examined():
    x = jax.ShapeDtypeStruct((1, 7, 7, 1), bool)
    verdicts = {v.claim: v.verdict for v in examine(lambda x: x[:, 1:] & x[:, :-1], x)}
    assert set(verdicts.values()) == {PROVED}


@pytest.mark.parametrize("seed", [None, 0, 1, 2])
def test_a_wrong_receptive_field_is_contradicted_whatever_the_key(seed):
    """The two images that are mixed must differ, and phases of a period of 3 be looked at."""
    x = jax.ShapeDtypeStruct((1, 24, 1), jnp.int32)

    def narrow(x):
        return x[:, 2:]

    def wide(x):
        return x[:, 2:] + jnp.where(jnp.arange(x.shape[1] - 2)[None, :, None] % 3 == 1, x[:, :-2], 0)

    narrow_period = sj.certify(lambda x: x[:, 2:] * jnp.asarray(np.arange(22) % 3 + 1)[None, :, None], x)
    key = None if seed is None else jax.random.key(seed)
    for certificate, wrong in ((sj.certify(narrow, x), lambda x: x[:, 2:] + x[:, :-2]), (narrow_period, wide)):
        verdict, detail = receptive_field(Subject(wrong, x, key=key), certificate)
        assert verdict == CONTRADICTED
        assert "reads input outside" in detail
    assert narrow_period.period == (3,)
    assert receptive_field(Subject(narrow, x, key=key), sj.certify(narrow, x))[0] == PROVED  # control


def test_a_constant_image_has_no_more_embeddings_than_phases():
    """With an output of stride 4 the period of 4 px has one phase."""
    x = jax.ShapeDtypeStruct((1, 16, 1), jnp.int32)
    certificate = sj.certify(lambda x: x[:, ::4], x)
    assert (certificate.capacity, certificate.axes[0].phases) == (4, 1)
    assert capacity_bound(Subject(lambda x: x[:, ::4], x), certificate)[0] == PROVED
    two = Subject(lambda x: x[:, ::4] + jnp.arange(4)[None, :, None] % 2, x)
    assert capacity_bound(two, certificate)[0] == CONTRADICTED


def test_a_bound_that_padding_may_break_is_not_proved():
    """An image of ones does not show the padding of this function."""
    x = jax.ShapeDtypeStruct((1, 16, 1), jnp.int32)

    def padded(x):
        return jnp.pad(x[:, 1:] - x[:, :-1], ((0, 0), (1, 0), (0, 0)))

    assert {v.claim: v.verdict for v in examine(padded, x)}["capacity-bound"] == NOT_PROVED


def test_large_outputs_without_pooling_are_not_cut_in_all_ways():
    runs = 0

    def count(image):
        nonlocal runs
        runs += 1
        return image[:, 1:]

    subject = Subject(lambda x: x[:, 1:], jax.ShapeDtypeStruct((1, 300, 300, 1), jnp.int32))
    subject.run = count
    assert subject.certificate is not None
    assert stitching(subject, subject.certificate)[0] == PROVED
    assert runs < 100  # of 299 x 300 sizes of tiles


def test_functions_of_several_outputs_are_refused_in_one_sentence():
    def two(x):
        return x, x[:, 1:]

    x = jax.ShapeDtypeStruct((1, 12, 12, 1), jnp.float32)
    calls = [
        lambda: testing.assert_periodic_equivariant(two, x),
        lambda: testing.assert_periodic_equivariant(lambda x: two(x - jnp.sum(x)), x, period=1),
        lambda: testing.assert_stitches(two, sj.plan_tiles(two, x.shape, tile=4)),
        lambda: examine(two, x),
        lambda: examine(lambda x: {"a": x}, x),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"`fn`: expected a function that returns one array, found .*give one of"):
            call()
    testing.assert_periodic_equivariant(lambda x: two(x)[1], x)  # control
