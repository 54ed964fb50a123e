"""The training loop: resuming, replicas, divergence, and the two ways to run a chunk."""

import json
import shutil

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import shiftjax as sj
from shiftjax import training
from shiftjax.training import _backend as backend

NET = sj.UNet(2, features=2, factors=(2,), convs=1)
OPTIMIZER = optax.adam(1e-2)


def _sample(key):
    image = jax.random.normal(key, (1, 16, 16, 1))
    return image, (image[:, 4:-4, 4:-4, 0] > 0).astype(jnp.int32)


def _loss(embedding, labels):
    labels = labels[:, : embedding.shape[1], : embedding.shape[2]]
    return jnp.mean((embedding[..., 0] - labels) ** 2)


STEP = training.make_step(NET, OPTIMIZER, _sample, _loss)


def _states(*seeds):
    image, _ = jax.eval_shape(_sample, jax.random.key(0))
    return training.stack([training.initial_state(jax.random.key(s), NET, OPTIMIZER, image) for s in seeds])


def _differ(a, b):
    """Whether two states of one network differ in some leaf."""
    with pytest.raises(AssertionError):
        chex.assert_trees_all_equal(a, b)
    chex.assert_trees_all_equal_shapes_and_dtypes(a, b)
    return True


def test_a_resumed_run_equals_an_undisturbed_one(tmp_path):
    undisturbed, history = training.train(STEP, _states(0), 7)
    with training.Checkpoints(tmp_path / "c") as checkpoints:
        training.train(STEP, _states(0), 4, checkpoints=checkpoints)
    with training.Checkpoints(tmp_path / "c") as checkpoints:
        assert checkpoints.latest == 4
        resumed, rest = training.train(STEP, checkpoints.restore(_states(1)), 7, checkpoints=checkpoints)
        assert checkpoints.latest == 7
    chex.assert_trees_all_equal(resumed, undisturbed)
    assert np.array_equal(history.losses[:, 4:], rest.losses)
    assert _differ(training.train(STEP, _states(1), 7)[0], undisturbed)


def test_replicas_equal_runs_of_their_own():
    together, history = training.train(STEP, _states(0, 1), 5)
    assert history.losses.shape == (2, 5)
    for seed, state in enumerate(training.unstack(together)):
        alone, _ = training.train(STEP, _states(seed), 5)
        chex.assert_trees_all_equal(training.unstack(alone)[0], state)


def test_a_scan_of_steps_is_the_same_training():
    one, losses = backend._calls(STEP)(_states(0, 1), 4)
    other, scanned = backend._scan(STEP)(_states(0, 1), 4)
    assert np.allclose(losses, scanned, rtol=1e-4)
    assert not np.allclose(losses[0], losses[1], rtol=1e-4)
    assert np.array_equal(one.step, other.step)


def test_every_step_sees_another_image():
    still = training.make_step(NET, optax.sgd(0.0), _sample, _loss)
    image, _ = jax.eval_shape(_sample, jax.random.key(0))
    states = training.stack([training.initial_state(jax.random.key(0), NET, optax.sgd(0.0), image)])
    _, history = training.train(still, states, 5)
    assert len(np.unique(history.losses)) == 5


def test_a_state_that_is_not_finite_is_never_saved(tmp_path):
    def poisoned(state):
        state, value = STEP(state)
        spoil = jnp.where(state.step == 7, jnp.nan, 0.0)
        return state._replace(variables=jax.tree.map(lambda leaf: leaf + spoil, state.variables)), value

    with training.Checkpoints(tmp_path / "c") as checkpoints:
        with pytest.raises(training.TrainingDivergedError, match=r"last good checkpoint is of step 4"):
            training.train(poisoned, _states(0), 7, checkpoints=checkpoints, every=4)
        assert checkpoints.latest == 4


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"every": 0}, "`every`: expected an integer >= 1"),
        ({"steps": -1}, "`steps`: expected an integer >= 0"),
        ({"states": training.unstack(_states(0))[0]}, "stacked states"),
    ],
)
def test_bad_arguments_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        training.train(STEP, **{"states": _states(0), "steps": 1, **arguments})


def test_nothing_to_restore_is_said(tmp_path):
    with training.Checkpoints(tmp_path / "c") as checkpoints, pytest.raises(ValueError, match="a saved state"):
        checkpoints.restore(_states(0))


def test_states_of_other_networks_are_not_stacked():
    image, _ = jax.eval_shape(_sample, jax.random.key(0))
    other = training.initial_state(jax.random.key(0), sj.UNet(3, features=2, factors=(2,), convs=1), OPTIMIZER, image)
    with pytest.raises(ValueError, match="shape"):
        training.stack([*training.unstack(_states(0)), other])


def test_training_lowers_the_loss():
    _, history = training.train(STEP, _states(0), 200)
    assert history.losses[:, -20:].mean() < history.losses[:, :20].mean() / 2
    assert history.steps_per_second > 0


def test_a_loss_that_is_not_finite_stops_and_names_step_and_checkpoint(tmp_path):
    def bursting(state):
        state, value = STEP(state)
        return state, jnp.where(state.step == 6, jnp.nan, value)

    with training.Checkpoints(tmp_path / "c") as checkpoints:
        words = r"loss of step 6 is not finite; the last good checkpoint is of step 4"
        with pytest.raises(training.TrainingDivergedError, match=words):
            training.train(bursting, _states(0), 9, checkpoints=checkpoints, every=4)
        assert checkpoints.latest == 4


def test_a_broken_checkpoint_is_named(tmp_path):
    with training.Checkpoints(tmp_path / "c") as checkpoints:
        training.train(STEP, _states(0), 2, checkpoints=checkpoints)
    for file in (tmp_path / "c" / "2").rglob("*"):
        if file.is_file():
            file.write_bytes(b"")
    with (
        training.Checkpoints(tmp_path / "c") as checkpoints,
        pytest.raises(ValueError, match=r"checkpoint .*c/2: expected a state of this net"),
    ):
        checkpoints.restore(_states(0))


def test_batch_norm_keeps_its_statistics():
    net = sj.UNet(2, features=2, factors=(2,), convs=1, norm="batch")
    image, _ = jax.eval_shape(_sample, jax.random.key(0))
    states = training.stack([training.initial_state(jax.random.key(0), net, OPTIMIZER, image)])
    before = states.variables["batch_stats"]
    after, _ = training.train(training.make_step(net, OPTIMIZER, _sample, _loss), states, 3)
    assert _differ(before, after.variables["batch_stats"])


def _trained_twice(folder, steps=(2, 4)):
    with training.Checkpoints(folder) as checkpoints:
        for count in steps:
            training.train(STEP, _states(0), count, checkpoints=checkpoints)


def _restored(folder):
    with training.Checkpoints(folder) as checkpoints:
        return checkpoints.restore(_states(1))


def test_one_flipped_bit_is_refused(tmp_path):
    _trained_twice(tmp_path / "c")
    right = _restored(tmp_path / "c")
    files = [path for path in (tmp_path / "c" / "4").rglob("*") if path.is_file() and path.stat().st_size]
    assert len(files) > 3
    for path in files:
        whole = path.read_bytes()
        for at in {0, len(whole) // 2, len(whole) - 1}:
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            with pytest.raises(ValueError, match=r"checkpoint .*c/4: expected .*delete that folder"):
                _restored(tmp_path / "c")
        path.write_bytes(whole)
    chex.assert_trees_all_equal(_restored(tmp_path / "c"), right)  # control: as it was
    shutil.rmtree(tmp_path / "c" / "4")
    assert int(_restored(tmp_path / "c").step[0]) == 2  # as the advice says


def test_a_state_is_refused_by_its_own_digest_too(tmp_path):
    """Killed after the state and before the digest of its files."""
    _trained_twice(tmp_path / "c")
    path = tmp_path / "c" / "digests" / "4.json"
    digests = json.loads(path.read_text())
    path.write_text(json.dumps({"state": digests["state"]}))
    assert int(_restored(tmp_path / "c").step[0]) == 4
    path.write_text(json.dumps({"state": digests["state"][::-1]}))
    with pytest.raises(ValueError, match="as it was written, found one of which"):
        _restored(tmp_path / "c")
    path.unlink()
    with pytest.raises(ValueError, match="expected its digest"):
        _restored(tmp_path / "c")


class Killed(BaseException):
    """What a kill is to the code: nothing may catch it."""


@pytest.mark.parametrize("moment", ["before the state", "after the state", "after everything"])
def test_killed_while_it_saves(moment, tmp_path, monkeypatch):
    undisturbed, _ = training.train(STEP, _states(0), 6)
    with training.Checkpoints(tmp_path / "c") as checkpoints:
        training.train(STEP, _states(0), 2, checkpoints=checkpoints)
        write, writes = checkpoints._write_digests, []

        def stopped(step, digests):
            writes.append(step)
            if len(writes) == 2 and moment == "after the state":
                raise Killed
            write(step, digests)
            if len(writes) == (1 if moment == "before the state" else 2):
                raise Killed

        monkeypatch.setattr(checkpoints, "_write_digests", stopped)
        with pytest.raises(Killed):
            training.train(STEP, checkpoints.restore(_states(1)), 4, checkpoints=checkpoints)
    with training.Checkpoints(tmp_path / "c") as checkpoints:
        assert checkpoints.latest == (2 if moment == "before the state" else 4)
        resumed, _ = training.train(STEP, checkpoints.restore(_states(1)), 6, checkpoints=checkpoints)
        assert {path.name for path in (tmp_path / "c" / "digests").iterdir()} == {
            f"{step}.json" for step in checkpoints._manager.all_steps()
        }
    chex.assert_trees_all_equal(resumed, undisturbed)


def test_replicas_of_different_ages_are_refused():
    """The younger one would end with fewer steps than were asked for."""
    young, old = training.unstack(_states(0, 1))
    with pytest.raises(ValueError, match=r"`states`: expected replicas .* same number of steps, found \[0, 3\]"):
        training.train(STEP, training.stack([young, old._replace(step=old.step + 3)]), 5)


def test_the_states_of_the_caller_outlive_a_scan(monkeypatch):
    states = _states(0)
    monkeypatch.setattr("shiftjax.training._loop.chunked", backend._scan)
    once, twice = (training.train(STEP, states, 2)[0] for _ in range(2))
    chex.assert_trees_all_equal(once, twice)
    backend._scan(STEP)(states, 1)  # control: a scan gives their memory away
    assert states.step.is_deleted()


def test_a_key_of_another_kind_is_refused():
    image, _ = jax.eval_shape(_sample, jax.random.key(0))
    with pytest.raises(ValueError, match="`key`: expected a random key of JAX's default kind"):
        training.initial_state(jax.random.key(0, impl="rbg"), NET, OPTIMIZER, image)
    for key in (jax.random.key(0), jax.random.PRNGKey(0)):  # control
        assert training.initial_state(key, NET, OPTIMIZER, image).key.shape == (2,)
