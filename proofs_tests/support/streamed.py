"""Streams by hand, of any certified function: every exact output of a longer image, against that in one piece."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from shiftjax._arithmetic import ceil_div
from shiftjax._parameters import take_apart
from shiftjax._streams import NotStreamable, Stream
from shiftjax.certifier import Certificate, CertificationError, certify

Fn = Callable[[Any], Any]
BEHIND = 60  # most steps by which an output lies behind the image
LONGER = 3  # steps by which the image is longer than the one that was traced


def run(fn: Fn, stream: Stream, image: np.ndarray, step: int) -> list[np.ndarray]:
    """The outputs of a stream over an image, from its first step on, one step after the last pixel included.

    Where the image's ends count, so many steps after it as the outputs lie behind.
    """
    axis = stream.axis + 1
    count = ceil_div(image.shape[axis], step) + (BEHIND if stream.has_ends else 1)
    room = [(0, count * step - n if k == axis else 0) for k, n in enumerate(image.shape)]
    constants = jax.jit(stream.constants)(take_apart(fn).arrays)
    advance, state = jax.jit(stream.advance), stream.initial()
    parts = []
    for turn, chunk in enumerate(np.split(np.pad(image, room), count, axis)):
        at = np.int32(turn) if stream.has_ends and stream.meets_an_end(turn, step) else None
        state, outputs = advance(constants, state, chunk, at)
        parts.append(outputs)
    return [np.concatenate(steps, axis) for steps in zip(*parts, strict=True)]


def late(stream: Stream) -> None:
    """Breaks a stream: where arrays are joined as channels, one of them comes one index late."""
    nodes = list(stream._graph.nodes)
    at = next(k for k, node in enumerate(nodes) if node.operation and node.operation.name == "concatenate")
    first, *rest = nodes[at].reads
    assert first is not None
    nodes[at] = replace(nodes[at], reads=(first.moved(-1), *rest))
    stream._graph = replace(stream._graph, nodes=tuple(nodes))
    for derived in ("_leads", "_kept"):
        vars(stream).pop(derived, None)


def compare(
    fn: Fn,
    cert: Certificate,
    axis: int,
    turns: int,
    rng: np.random.Generator,
    change: Callable[[Stream], None] = lambda stream: None,
) -> str:
    """Streams a function and asserts that all exact outputs are those of the image in one piece.

    Args:
        fn: the function; its parameters are the leaves of a pytree.
        cert: its certificate, at the size that is traced.
        axis: of the stream, from 0.
        turns: periods per step.
        rng: of the image.
        change: something else to do to the stream first.

    Returns:
        Why nothing was compared; empty where something was.
    """
    try:
        stream = Stream(fn, jax.ShapeDtypeStruct(cert.shape, cert.dtype), axis, cert.places)
    except NotStreamable as reason:
        return str(reason).split(" at ")[0]
    change(stream)
    step = turns * stream.period
    shape = tuple(n + (LONGER * step if k == axis + 1 else 0) for k, n in enumerate(cert.shape))
    try:
        larger = certify(fn, jax.ShapeDtypeStruct(shape, cert.dtype))
    except CertificationError:
        return "no certificate of the longer image"
    if not cert.same_map(larger):
        return "the longer image is another map"
    image = rng.integers(-(2**20), 2**20, shape).astype(cert.dtype)
    whole = jax.tree.leaves(jax.jit(fn)(image))
    for lead, ours, leaf, place in zip(
        stream.leads, run(fn, stream, image, step), larger.leaves, larger.places, strict=True
    ):
        spans = [along.exact for along in leaf.axes]
        theirs = np.asarray(whole[place])[(slice(None), *(slice(*span) for span in spans))]
        first, last = (n - lead for n in spans[axis])
        assert first >= 0 or not theirs.size, "the first exact outputs are never given"
        spans[axis] = first, min(last, ours.shape[axis + 1])
        ours = ours[(slice(None), *(slice(*span) for span in spans))]
        theirs = theirs[(slice(None),) * (axis + 1) + (slice(ours.shape[axis + 1]),)]
        assert np.array_equal(ours, theirs), f"a stream along axis {axis}, {turns} periods a step, differs"
    return ""


def an_end_off_by_a_step(stream: Stream) -> None:
    """Breaks a stream: what lies beyond the image's end is put there a step too late."""
    stream._longer += stream.period


def compare_up_to_the_ends(
    fn: Fn,
    cert: Certificate,
    axis: int,
    turns: int,
    rng: np.random.Generator,
    change: Callable[[Stream], None] = lambda stream: None,
) -> str:
    """Streams a function and asserts that all outputs are those of the image in one piece, up to the border.

    Args and returns: as `compare`.
    """
    shape = list(cert.shape)
    try:
        period = Stream(fn, jax.ShapeDtypeStruct(cert.shape, cert.dtype), axis, cert.places).period
        shape[axis + 1] += LONGER * turns * period
        larger = certify(fn, jax.ShapeDtypeStruct(tuple(shape), cert.dtype))
        stream = Stream(fn, jax.ShapeDtypeStruct(cert.shape, cert.dtype), axis, cert.places, shape[axis + 1])
    except NotStreamable as reason:
        return str(reason).split(" at ")[0]
    except CertificationError:
        return "no certificate of the longer image"
    if not cert.same_map(larger, borders=True):
        return "the longer image is another map"
    change(stream)
    image = rng.integers(-(2**20), 2**20, shape).astype(cert.dtype)
    whole = jax.tree.leaves(jax.jit(fn)(image))
    for lead, ours, place in zip(stream.leads, run(fn, stream, image, turns * period), larger.places, strict=True):
        theirs = np.asarray(whole[place])
        assert lead <= 0, "the first outputs are never given"
        ours = ours[(slice(None),) * (axis + 1) + (slice(-lead, -lead + theirs.shape[axis + 1]),)]
        assert np.array_equal(ours, theirs), f"a stream along axis {axis}, {turns} periods a step, differs at an end"
    return ""
