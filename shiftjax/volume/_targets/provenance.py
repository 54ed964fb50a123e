"""What a target is made from, as digests: the same work may resume it, other work may not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from shiftjax._parameters import take_apart
from shiftjax._version import VERSION
from shiftjax.certifier import Certificate
from shiftjax.tiling import TilePlan, computed_by
from shiftjax.volume._sources.source import Source

Provenance = dict[str, Any]  # entries by name, as JSON keeps them
FORMAT = 3  # of targets as a whole, their journals and intermediate results included; raise it where any changes
VERSIONS = "versions"  # the entry that says which programs compute
BLOCK = 16  # pixels per axis of a sampled block
BLOCKS = 16  # sampled over the volume: enough to tell volumes apart, few enough to be read at every start


def plan_provenance(plan: TilePlan) -> Provenance:
    """The entries that all targets have: the format, and what of a plan decides the pixels written."""
    outputs = [(output.name, output.channels, output.dtype, output.crop) for output in plan.outputs]
    geometry = (plan.image_shape, plan.dtype, plan.tile_input, plan.tile_output, plan.pad, plan.pad_width, outputs)
    stream = () if plan.stream is None else (plan.stream,)
    return {"format": FORMAT, "plan": digest(*geometry, *stream)}


def pixels_provenance(source: Source) -> Provenance:
    """What tells a stored volume from others: its axes, shape and type, and digests of sampled blocks.

    Raises:
        VolumeError: a block cannot be read; whatever it holds, nobody may take another volume for this one meanwhile.
    """
    return {"pixels": digest(source.form, source.array.shape, source.dtype), "blocks": _block_digests(source)}


def function_provenance(fn: Callable[[Any], Any], certificate: Certificate) -> str:
    """Digest of a function: its derivation by the certifier, the arrays it closes over, the values of its parameters.

    Where another program than JAX computes it, its name and version count too.

    Args:
        fn: the function.
        certificate: of `fn`, at any shape.
    """
    constants = [json.dumps([c.shape, c.dtype, c.digest]) for c in certificate.constants]
    programs = [" ".join(item) for item in sorted(computed_by(fn).items())]
    return digest(certificate.version, *constants, *programs, *jax.device_get(take_apart(fn).arrays))


def versions() -> dict[str, str]:
    """Of the programs that compute: with another one a result may differ in its last bits, or in more."""
    return {"jax": jax.__version__, "shiftjax": VERSION}


def differences(stored: Provenance, expected: Provenance) -> list[str]:
    """The entries in which two provenances differ, for people."""
    if stored.get("format") != expected["format"]:
        return ["version of shiftjax"]  # whose other entries may mean other things
    names = sorted({*stored, *expected} - {VERSIONS})
    return [name for name in names if stored.get(name) != expected.get(name)]


def other_versions(stored: dict[str, str], found: dict[str, str]) -> list[str]:
    """In which programs two computations differ, for people."""
    names = sorted({*stored, *found})
    differing = [name for name in names if stored.get(name) != found.get(name)]
    return [f"version of {name} ({stored.get(name)}, here {found.get(name)})" for name in differing]


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


def _block_digests(source: Source) -> list[str]:
    """Digests of blocks spread over the volume, the same ones each time."""
    blocks = source.sampled_blocks(BLOCKS, BLOCK)
    return [digest(source.at(time)(slices))[:16] for time, slices in blocks]
