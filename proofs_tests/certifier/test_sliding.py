"""Loops over slices: what all turns do is followed once, and the certificate is that of following every turn."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import shiftjax as sj
from shiftjax.certifier._rules import looping, sliding

N, TURNS = 24, 6
X = jax.ShapeDtypeStruct((1, N, 4), jnp.float32)
LAST = np.arange(4, dtype=np.float32)


def filled(
    body: Callable[..., Any], *, lost: int = 0, out: int = N, turns: int = TURNS, stride: int = 1
) -> Callable[[Any], Any]:
    """`body(slice, turn, image)`, an equal part of the result at each turn; slices overlap by `lost` pixels."""

    def fn(x: Any) -> Any:
        size = (out - lost) // turns

        def fill(turn: Any, y: Any) -> Any:
            part = lax.dynamic_slice_in_dim(
                x, turn * size * stride, size * stride + lost, 1, allow_negative_indices=False
            )
            return lax.dynamic_update_slice_in_dim(y, body(part, turn, x), turn * size, 1)

        return lax.fori_loop(0, turns, fill, jnp.zeros((1, (out - lost) // turns * turns, 4)))

    return fn


def alternating(part: Any) -> Any:
    return part * jnp.where(jnp.arange(part.shape[1]) % 2 == 0, 1.0, 2.0)[:, None]


def reflected(x: Any) -> Any:
    """Its left border is written by a loop."""

    def fill(i: Any, y: Any) -> Any:
        return lax.dynamic_update_slice_in_dim(y, lax.dynamic_slice_in_dim(x, 4 - i, 1, 1) * 3, i, 1)

    return lax.fori_loop(0, 4, fill, jnp.pad(x * 3, ((0, 0), (4, 0), (0, 0))))


def unfolded(x: Any) -> Any:
    """Neighbours as channels, and a layer that pads after them."""
    length = x.shape[1] - 5

    def fill(i: Any, y: Any) -> Any:
        part = lax.dynamic_slice_in_dim(x, i, length, 1) * 3
        return lax.dynamic_update_slice_in_dim(y, part[:, :, None], i, 2)

    y = lax.fori_loop(0, 6, fill, jnp.zeros((1, length, 6, x.shape[2])))
    y = jnp.pad(y.reshape(1, length, -1), ((0, 0), (1, 1), (0, 0)))
    return y[:, 2:] * 3 + y[:, :-2]


FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "pointwise": filled(lambda part, turn, x: jnp.sin(part)),
    "a window": filled(lambda part, turn, x: part[:, 2:] * part[:, :-2], lost=2, out=N - 4),
    "a matrix of channels": filled(lambda part, turn, x: part @ jnp.ones((4, 4))),
    "of a map with phases": lambda x: filled(lambda part, turn, y: part[:, 1:] - part[:, :-1], lost=1, out=19)(
        jnp.repeat(x[:, ::2], 2, axis=1)
    ),
    "a slice of a padded image": lambda x: filled(lambda part, turn, y: part[:, 2:] + part[:, :-2], lost=2, out=N + 2)(
        jnp.pad(x, ((0, 0), (1, 1), (0, 0)))
    ),
    "a pattern inside each slice": filled(lambda part, turn, x: alternating(part)),
    "a pattern of whole slices": filled(lambda part, turn, x: alternating(part), turns=8),
    "padded inside each slice": filled(lambda part, turn, x: jnp.pad(part, ((0, 0), (1, 0), (0, 0)))[:, :-1]),
    "mirrored inside each slice": filled(lambda part, turn, x: part[:, ::-1]),
    "the turn is used": filled(lambda part, turn, x: part * turn),
    "another slice beside it": filled(lambda part, turn, x: part + x[:, : part.shape[1]]),
    "pooled": filled(lambda part, turn, x: part[:, ::2] + part[:, 1::2], out=N // 2, stride=2, turns=3),
    "a slice of one index": filled(lambda part, turn, x: part.squeeze(1)[:, None] * 3, turns=N),
    "a border": reflected,
    "a border, then padded": lambda x: (y := jnp.pad(reflected(x), ((0, 0), (1, 1), (0, 0))))[:, 2:] - y[:, :-2],
    "along the channels": unfolded,
    "a slice of an image padded behind": lambda x: filled(
        lambda part, turn, y: part[:, 2:] + part[:, :-2], lost=2, out=N + 2
    )(jnp.pad(x, ((0, 0), (0, 2), (0, 0)))),
    "slices that move differently": filled(
        lambda part, turn, x: part + lax.dynamic_slice_in_dim(x, turn * 2, part.shape[1], 1)
    ),
    "summed inside each slice": filled(lambda part, turn, x: part + part.sum(1, keepdims=True)),
}


def certified(fn: Callable[[Any], Any]) -> Any:
    try:
        certificate = sj.certify(fn, X)
    except sj.CertificationError as refusal:
        return refusal.primitive
    (leaf,) = certificate.leaves
    return certificate.axes, certificate.fingerprint, leaf.borders


@pytest.fixture
def every_turn(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Any], Any]], Any]:
    """The certificate of a function whose loops are followed turn by turn."""

    def run(fn: Callable[[Any], Any], look: Callable[[Callable[[Any], Any]], Any] = certified) -> Any:
        with monkeypatch.context() as patch:
            patch.setattr(looping, "slide", lambda *args: None)
            return look(fn)

    return run


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_certificate_is_that_of_every_turn(name, every_turn):
    assert certified(FUNCTIONS[name]) == every_turn(FUNCTIONS[name])


def test_a_turn_is_followed_once_however_many_there_are(monkeypatch):
    followed: list[int] = []
    same = sliding.Sliding._same

    def counted(self: sliding.Sliding, slices: Any) -> Any:
        followed.append(len(slices))
        return same(self, slices)

    monkeypatch.setattr(sliding.Sliding, "_same", counted)
    for turns in (4, 12):
        followed.clear()
        certified(filled(lambda part, turn, x: jnp.sin(part), turns=turns))
        assert len(followed) == 2  # the first turn, and by itself


def test_what_every_turn_draws_anew_is_not_one_map():
    fn = filled(lambda part, turn, x: part * lax.rng_uniform(0.0, 1.0, ()))
    (axis,) = sj.certify(fn, X).axes
    assert axis.exact == (0, N // TURNS)  # one turn's part
    control = filled(lambda part, turn, x: part * lax.rng_uniform(0.0, 1.0, ()), turns=1)
    assert sj.certify(control, X).axes[0].exact == (0, N)


def test_a_table_that_the_program_holds_is_no_image(every_turn):
    """Where the program has it as a literal, it is nothing that can be looked up among the variables either."""
    table = np.array([0, 4, 8, 12, 16, 20], np.int32)

    def fn(x: Any) -> Any:
        def fill(turn: Any, carry: Any) -> Any:
            y, at = carry
            place = lax.dynamic_slice(table, (at[0],), (1,))[0]
            part = lax.dynamic_slice_in_dim(x, turn * 4, 4, 1) * 3
            return lax.dynamic_update_slice_in_dim(y, part, place, 1), at + 1

        return lax.fori_loop(0, TURNS, fill, (jnp.zeros((1, N, 4)), jnp.zeros(1, jnp.int32)))[0]

    jax.config.update("jax_use_simplified_jaxpr_constants", True)
    try:
        found, expected = certified(fn), every_turn(fn)
    finally:
        jax.config.update("jax_use_simplified_jaxpr_constants", False)
    assert found == expected
    assert found[0][0].exact == (0, N)


@pytest.mark.parametrize("name", ["a border", "along the channels"])
def test_what_was_followed_in_vain_leaves_no_trace(name, every_turn):
    """Where too little is known of what is moved, the page is that of following every turn."""

    def page(fn: Callable[[Any], Any]) -> str:
        return sj.certify(fn, X).explain()

    assert page(FUNCTIONS[name]) == every_turn(FUNCTIONS[name], page)


@pytest.mark.parametrize("name", ["a pattern inside each slice", "padded inside each slice"])
def test_control_what_does_not_move_as_its_slices_do_would_be_certified_wrongly(name, every_turn, monkeypatch):
    monkeypatch.setattr(sliding.Sliding, "_moves_along", lambda self, along: True)
    assert certified(FUNCTIONS[name]) != every_turn(FUNCTIONS[name])
