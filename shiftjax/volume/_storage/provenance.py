"""What a target is made from, as digests: the same work may go on with it, other work may not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from shiftjax._checks import fail
from shiftjax.certifier import certify
from shiftjax.tiling._plan import TilePlan
from shiftjax.volume._storage.errors import VolumeError
from shiftjax.volume._storage.source import Source

Identity = dict[str, Any]
FORMAT = 1
BLOCK = 16  # pixels per axis of a sampled block
BLOCKS = 16  # sampled over the volume
NAMES = {"plan": "plan", "net": "net", "source": "source", "preprocess": "preprocess", "target": "target layout"}


def identity(
    fn: Callable[[Any], Any], plan: TilePlan, source: Source, preprocess: Callable[[Any], Any] | None, **more: Any
) -> Identity:
    """Digests of all that decides what is written.

    Args:
        fn: the function; its derivation by the certifier and the bytes of its parameters count.
        plan: its geometry counts.
        source: its shape, type and a sample of its pixels count.
        preprocess: counts like `fn`.
        more: further entries, as JSON keeps them.

    Raises:
        ValueError: the plan was made for another function.
    """
    image = jax.ShapeDtypeStruct(plan.certificate.shape, plan.dtype)
    stored = jax.ShapeDtypeStruct(plan.certificate.shape, jax.dtypes.canonicalize_dtype(source.dtype))
    certificate = certify(fn, image)
    if not certificate.same_map(plan.certificate):
        fail("plan", "a plan for this function", f"one for `{plan.certificate.function}`", "plan again")
    return {
        "format": FORMAT,
        "plan": digest(*geometry(plan)),
        "net": digest(certificate.fingerprint, *_constants(certificate), *leaves(fn)),
        "source": {"pixels": digest(source.axes, source.array.shape, source.dtype), "blocks": sample(source)},
        "preprocess": "none" if preprocess is None else pointwise_digest(preprocess, stored),
        **more,
    }


def differences(found: Identity, wanted: Identity) -> list[str]:
    """The parts in which two identities differ; a block of the source that either could not read is left out."""
    if found.get("format") != wanted["format"]:
        return ["version of shiftjax"]
    names = {*found, *wanted} - {"format"}
    return [NAMES.get(name, name) for name in sorted(names) if not _same(found.get(name), wanted.get(name))]


def _same(found: Any, wanted: Any) -> bool:
    if isinstance(found, dict) and isinstance(wanted, dict) and "blocks" in wanted:
        pairs = zip(found.get("blocks", ()), wanted["blocks"], strict=False)
        return found.get("pixels") == wanted["pixels"] and all(a == b or "" in (a, b) for a, b in pairs)
    return found == wanted


def digest(*parts: Any) -> str:
    """SHA-256 of arrays by their bytes and of anything else by its text."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            total.update(f"{part.dtype} {part.shape} ".encode())
            total.update(np.ascontiguousarray(part).view(np.uint8).data if part.size else b"")
        else:
            total.update(f"{part!s} ".encode())
    return total.hexdigest()


def geometry(plan: TilePlan) -> tuple[Any, ...]:
    """What of a plan decides the pixels written."""
    outputs = [(o.name, o.channels, o.dtype, o.crop) for o in plan.outputs]
    return (plan.image_shape, plan.dtype, plan.tile_input, plan.tile_output, plan.pad, plan.pad_width, outputs)


def leaves(fn: Any) -> list[Any]:
    """The array leaves of a function that is a pytree, on the host, and the text of its other plain leaves."""
    found: list[Any] = []
    for leaf in jax.tree.leaves(fn):
        if isinstance(leaf, jax.Array | np.ndarray | np.generic):
            found.append(np.asarray(leaf))
        elif isinstance(leaf, int | float | complex | str):
            found.append(leaf)
    return found


def pointwise_digest(preprocess: Callable[[Any], Any], image: jax.ShapeDtypeStruct) -> str:
    """Digest of a preprocessing function, from its derivation and its parameters."""
    certificate = certify(preprocess, image)
    return digest(certificate.fingerprint, *_constants(certificate), *leaves(preprocess))


def _constants(certificate: Any) -> list[str]:
    return [json.dumps([c.name, c.shape, c.dtype, c.digest]) for c in certificate.constants]


def sample(source: Source) -> list[str]:
    """Digests of blocks spread over the volume, the same ones each time; empty for one that cannot be read."""
    found = []
    for time, slices in sampled_blocks(source, BLOCKS, BLOCK):
        try:
            found.append(digest(source.at(time)(slices))[:16])
        except VolumeError:
            found.append("")
    return found


def sampled_blocks(source: Source, count: int, size: int) -> list[tuple[int, tuple[slice, ...]]]:
    """Time point and pixels of `count` blocks of `size` pixels per axis, drawn evenly over the volume, always alike."""
    draw = np.random.default_rng(0)
    blocks = []
    for _ in range(count):
        time = int(draw.integers(source.times))
        starts: Sequence[int] = [int(draw.integers(max(1, n - size + 1))) for n in source.space]
        blocks.append((time, tuple(slice(a, min(a + size, n)) for a, n in zip(starts, source.space, strict=True))))
    return blocks
