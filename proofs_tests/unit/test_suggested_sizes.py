"""`python -m shiftjax plan --suggest`: the legal tiles near a wish, each as `plan_tiles` has it."""

from __future__ import annotations

import jax.numpy as jnp
import pytest

import shiftjax as sj
from shiftjax.__main__ import main

SHAPE = (1, 40, 30, 1)


def net(image):
    """Period 4, and two pixels of halo."""
    pooled = image.reshape(len(image), image.shape[1] // 4, 4, image.shape[2] // 4, 4, -1).max((2, 4))
    return jnp.repeat(jnp.repeat(pooled, 4, 1), 4, 2)[:, 2:-2, 2:-2]


def suggest(*words):
    shape = ",".join(map(str, SHAPE))
    return main(["plan", "--net", f"{__name__}:net", "--shape", shape, "--suggest", *words])


@pytest.mark.parametrize(
    ("wish", "kept"),
    [
        ("13", ["8 x 8", "12 x 12", "16 x 16", "20 x 20"]),
        ("1", ["4 x 4", "8 x 8", "12 x 12"]),  # no tile is smaller than the period
        ("12,99", ["8 x 28", "12 x 32", "16 x 32", "20 x 32"]),  # nor larger than the image needs
    ],
)
def test_tiles_near_a_wish(wish, kept, capsys):
    assert suggest("--tile", wish) == 0
    first, head, *rows, last = capsys.readouterr().out.splitlines()
    assert "the period, 4 x 4 px" in first
    assert head.split("  ")[0] == "keeps"
    assert [row[:20].strip() for row in rows] == kept
    for row in rows:
        plan = sj.plan_tiles(net, SHAPE, tile=tuple(map(int, row[:20].split("x"))))
        assert plan.equals_whole
        assert tuple(map(int, row[20:40].split("x"))) == plan.tile_input
        assert row[40:] == f"{plan.redundancy:.2f}"
    assert last == "A training window needs at least 5 x 5 px of output."


@pytest.mark.parametrize("words", [(), ("--tile", "8", "--json")])
def test_a_wish_is_needed_and_no_plan_is_made(words, capsys):
    assert suggest(*words) == 2
    error = capsys.readouterr().err
    assert "expected `--suggest` beside `--tile`" in error
    assert error.count("\n") == 1
