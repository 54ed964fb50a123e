"""A plan written as JSON and read back is the same plan; anything else is refused."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import shiftjax as sj
from shiftjax.tiling import TilePlan, check_function

REFUSED = "`text`: expected a tile plan of format 1, as `to_json` writes it, found something else; plan again."


def _difference(x):
    return x[:, 2:, 1:] - x[:, :-2, :-1]


def _blocks(x):
    """The first pixel of every block of 3 x 2, all over it: of period 3 x 2."""
    rows, columns = x.shape[1] // 3 * 3, x.shape[2] // 2 * 2
    return jnp.repeat(jnp.repeat(x[:, :rows:3, :columns:2], 3, 1), 2, 2)


def _several(x):
    return {"difference": _difference(x), "rest": (_blocks(x).astype(jnp.float32), x * 2)}


def _mixing(x):
    return x - x.sum(0, keepdims=True)


@st.composite
def plans(draw):
    fn = draw(st.sampled_from([_difference, _blocks, _several, _mixing]))
    shape = (draw(st.integers(1, 2)), draw(st.integers(1, 30)), draw(st.integers(1, 30)), draw(st.integers(1, 2)))
    tile = draw(st.one_of(st.none(), st.integers(1, 20), st.tuples(st.integers(1, 20), st.integers(1, 20))))
    memory = draw(st.sampled_from([None, 2**20]))
    illegal = tile is not None and draw(st.booleans())
    pad = draw(st.sampled_from(["reflect", "edge", "constant"]))
    options = {"tile": tile, "memory_bytes": memory, "illegal_tile": illegal, "pad": pad, "dtype": jnp.int32}
    return fn, sj.plan_tiles(fn, shape, **options)


@settings(max_examples=8)
@given(plans())
def test_a_plan_read_back_is_the_same_and_predicts_the_same(case):
    fn, plan = case
    read = TilePlan.from_json(plan.to_json())
    assert read == plan
    assert read.to_json() == plan.to_json()
    assert read.explain() == plan.explain()
    image = np.random.default_rng(0).integers(-99, 99, plan.image_shape, dtype=np.int32)
    stitched, again = (jax.tree.leaves(sj.predict_tiled(fn, image, each)) for each in (plan, read))
    assert all(np.array_equal(a, b) for a, b in zip(stitched, again, strict=True))


@pytest.fixture(scope="module")
def plan():
    return sj.plan_tiles(_several, (1, 40, 30, 1), tile=7, dtype=jnp.int32)


def test_what_is_derived_is_written_for_readers(plan):
    data = json.loads(plan.to_json())
    assert data["period"] == [3, 2]
    assert data["tile_output"] == data["tile_stride"] == [6, 6]
    assert data["legal"] is data["in_phase"] is data["equals_whole"] is True
    assert data["outputs"][0]["crop"][1:-1] == [[at.start, at.stop] for at in plan.outputs[0].crop[1:-1]]
    assert sj.Certificate.from_json(json.dumps(data["certificate"])) == plan.certificate
    data |= {"period": [1, 1], "legal": False, "grid": None}
    assert TilePlan.from_json(json.dumps(data)) == plan


def test_another_function_is_refused_on_a_plan_read_back(plan):
    read = TilePlan.from_json(plan.to_json())
    assert check_function(_several, read) == plan.certificate
    with pytest.raises(ValueError, match="one that computes something else; make a plan for this function"):
        sj.predict_tiled(lambda x: {**_several(x), "difference": -_difference(x)}, jnp.zeros((1, 40, 30, 1), int), read)


@pytest.mark.parametrize("text", ["", "3", "[]", "{}", "null", '{"format": 1}'])
def test_other_texts_are_refused(text):
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the whole message is compared
        TilePlan.from_json(text)
    assert str(refused.value) == REFUSED


def test_a_certificate_is_no_plan(plan):
    with pytest.raises(ValueError, match="expected a tile plan"):
        TilePlan.from_json(plan.certificate.to_json())


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 2},
        {"image_shape": [1, 40, 1]},
        {"image_shape": [1, 40, 30, 2]},
        {"image_shape": [1, 40, 0, 1]},
        {"tile_output": [6]},
        {"tile_output": [6.0, 6]},
        {"tile_output": [60, 60]},
        {"tile_output": [6, 5]},  # off the period, and claimed to equal the whole
        {"pad": "wrap"},
        {"output_dtypes": ["int32"]},
        {"output_dtypes": ["int32", "float32", "word"]},
        {"why": None},
        {"batchwise": False},
        {"batchwise": 1},
        {"batch_size": 0},
        {"memory": "much"},
        {"certificate": {}},
    ],
    ids=str,
)
def test_a_plan_that_cannot_be_is_refused(plan, changes):
    data = json.loads(plan.to_json())
    TilePlan.from_json(json.dumps(data))
    with pytest.raises(ValueError, match="expected a tile plan of format 1"):
        TilePlan.from_json(json.dumps(data | changes))


def test_control_an_illegal_tile_that_says_so_is_read(plan):
    data = json.loads(plan.to_json()) | {"tile_output": [6, 5], "why": "to study seams"}
    read = TilePlan.from_json(json.dumps(data))
    assert (read.legal, read.in_phase, read.equals_whole) == (False, False, False)
