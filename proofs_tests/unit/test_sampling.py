"""Networks that sample in another way: what is proved of each, and that polyphase sampling does what its paper says."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import shiftjax as sj
from shiftjax._experiments.sampling import BLUR, DILATION, MAX, POLYPHASE, SAMPLINGS, Sampled, with_phases_of

SHAPE, FURTHER = (1, 80, 80, 1), 88


def _net(sampling, **options):
    """A network of two levels, and its parameters."""
    net = Sampled(2, sampling=sampling, features=3, factors=(2, 2), crop=None, **options)
    return net, net.init(jax.random.key(1), jnp.zeros(SHAPE))


def _function(net, variables):
    return jax.tree_util.Partial(net.apply, variables)


@pytest.fixture(scope="module")
def noise():
    return jax.random.normal(jax.random.key(0), (1, FURTHER, FURTHER, 1))


@pytest.mark.parametrize(("sampling", "period"), [(MAX, 4), (BLUR, 4), (DILATION, 1)])
def test_the_margin_is_out_of_the_borders_reach(sampling, period):
    net, variables = _net(sampling)
    certificate = sj.certify(_function(net, variables), jax.ShapeDtypeStruct(SHAPE, "float32"))
    assert certificate.period == net.period == (period, period)
    assert [axis.exact for axis in certificate.axes] == [(0, axis.out) for axis in certificate.axes]
    assert certificate.output_shape[1] == SHAPE[1] - net.geometry[0].loss
    assert certificate.axes[0].offset == net.geometry[0].offset


def test_control_a_margin_half_as_wide_is_within_reach():
    net, variables = _net(BLUR)
    half = net.geometry[0].offset // 2
    wider = lambda x: net.apply(variables, jnp.pad(x, [(0, 0), (half, half), (half, half), (0, 0)]))  # noqa: E731
    axis, _ = sj.certify(wider, jax.ShapeDtypeStruct(SHAPE, "float32")).axes
    assert axis.exact != (0, axis.out)


def test_a_choice_by_the_image_is_refused_and_the_chosen_phases_are_certified(noise):
    net, variables = _net(POLYPHASE)
    with pytest.raises(sj.CertificationError, match="reduces over an image axis"):
        sj.certify(_function(net, variables), noise)
    chosen = with_phases_of(net, variables, noise)
    certificate = sj.certify(_function(chosen, variables), noise)
    assert certificate.period == (4, 4)
    assert certificate.axes[0].exact == (0, certificate.axes[0].out)


def test_chosen_phases_give_what_the_image_chose(noise):
    net, variables = _net(POLYPHASE)
    _, found = net.apply(variables, noise, mutable=["phases"])
    own = tuple((int(row[0]), int(column[0])) for row, column in found["phases"]["chosen"][0])
    outputs = {
        (i, j, k, m): np.asarray(net.clone(phases=((i, j), (k, m))).apply(variables, noise))
        for i, j, k, m in np.ndindex(2, 2, 2, 2)
    }
    whole = np.asarray(net.apply(variables, noise))
    same = {phases for phases, output in outputs.items() if np.array_equal(output, whole)}
    assert same == {(*own[0], *own[1])}


@pytest.mark.parametrize(("sampling", "moves"), [(MAX, False), (BLUR, False), (DILATION, True), (POLYPHASE, True)])
def test_which_outputs_move_along_by_a_single_pixel(sampling, moves):
    """Around the object the image is zero, so that the whole of it moves: what polyphase sampling is made for."""
    net, variables = _net(sampling)
    image = np.zeros((1, FURTHER, FURTHER, 1), np.float32)
    image[0, 40:46, 41:48, 0] = np.random.default_rng(0).normal(size=(6, 7))
    here, there = (np.asarray(net.apply(variables, jnp.asarray(x))) for x in (image, np.roll(image, 1, axis=1)))
    difference = np.abs(there[:, 1:] - here[:, :-1]).max() / np.abs(here).max()
    assert (difference < 1e-5) == moves


def test_an_unknown_sampling_is_named():
    with pytest.raises(ValueError, match=f"sampling.*{SAMPLINGS[0]}"):
        Sampled(2, sampling="average")
