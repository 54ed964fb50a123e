"""Models in folders: what is plain in model.json, weights as plain arrays, and digests of both. No pickles.

The weights lie in a file named after their digest, and model.json, which names it, is replaced last: whoever is stopped
in between leaves the old model whole.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from shiftjax._checks import fail, shown, told
from shiftjax.fitting._data.intensities import Intensities
from shiftjax.fitting._network import check_network, shapes
from shiftjax.fitting._settings import Settings
from shiftjax.nets import UNet

if TYPE_CHECKING:
    from shiftjax.fitting._model import Model

FORMAT = 1  # of a model folder
PAGE = "model.json"
ACTIVATIONS = ("relu", "gelu", "silu", "elu", "selu", "leaky_relu", "softplus", "tanh", "sigmoid")
BEGUN = "run.json"  # of a training run, whose folder becomes a model's


def write_model(model: Model, folder: Any, *, half: bool = False) -> None:
    """Writes a model.

    Args:
        model: to be written.
        folder: made where there is none.
        half: whether weights are written as float16, in half the space; they are computed with in float32 all the same.

    Raises:
        ValueError: the folder holds something else, or the network cannot be described.
    """
    path = as_folder(folder)
    known = {PAGE, BEGUN}
    if path.exists() and any(path.iterdir()) and not known & {entry.name for entry in path.iterdir()}:
        fail("folder", "a new folder, or one with a model", f"other files in {path}", "choose another")
    weights = arrays_of(model.variables)
    if half:
        weights = {name: x.astype(np.float16) if x.dtype == np.float32 else x for name, x in weights.items()}
    # NumPy's files know no bfloat16; `_fitting` brings back the type of the network's parameters.
    weights = {name: x if x.dtype.isbuiltin == 1 else x.astype(np.float32) for name, x in weights.items()}
    name = f"weights-{digest_of(weights)[:16]}.npz"
    page = {
        "format": FORMAT,
        "net": described(model.net),
        "channels": model.channels,
        "window": list(model.window),
        "settings": model.settings._asdict(),
        "intensities": model.intensities._asdict(),
        "score": None if math.isnan(model.score) else model.score,
        "weights": name,
        "digest": digest_of(weights),
    }
    page["page_digest"] = _page_digest(page)
    path.mkdir(parents=True, exist_ok=True)
    if not (path / name).exists():
        draft = path / "weights.tmp"
        with draft.open("wb") as file:
            np.savez_compressed(file, **weights)  # type: ignore[arg-type]
        os.replace(draft, path / name)
    write_page(path / PAGE, page)
    for old in path.glob("weights-*.npz"):
        if old.name != name:
            old.unlink()


def read_model(folder: Any, net: nn.Module | None = None) -> dict[str, Any]:
    """What a folder says, as the arguments of a `Model`.

    Raises:
        ValueError: no model, one of another version, or one that has changed since it was written.
    """
    path = as_folder(folder)
    try:
        page = json.loads((path / PAGE).read_text())
    except (OSError, ValueError):
        fail("folder", f"a model that `save` wrote, with a {PAGE}", f"none at {path}")
    if not isinstance(page, dict) or page.get("format") != FORMAT:
        found = page.get("format") if isinstance(page, dict) else "no format"
        mend = "train again, or load it with the version of shiftjax that wrote it"
        fail(
            "folder", f"a model of format {FORMAT}, which this version reads", f"format {shown(found)} in {path}", mend
        )
    if page.get("page_digest") != _page_digest(page):
        fail("folder", f"{PAGE} as it was written", f"one that has changed since in {path}")
    try:
        return _read(page, path, net)
    except (KeyError, TypeError, AttributeError) as error:  # whoever writes a right digest may write anything else
        fail("folder", f"{PAGE} with the entries that `save` writes", f"others in {path} ({told(error)})")


def _read(page: dict[str, Any], path: Path, net: nn.Module | None) -> dict[str, Any]:
    """What a page and its weights say, as the arguments of a `Model`."""
    if Path(page["weights"]).name != page["weights"]:
        fail("folder", "weights beside the page", f"a path, {shown(page['weights'])}, in {path}")
    try:
        with np.load(path / page["weights"], allow_pickle=False) as file:
            weights = {name: file[name] for name in file.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        fail("folder", f"weights in {page['weights']}", f"none that can be read in {path} ({type(error).__name__})")
    if digest_of(weights) != page["digest"]:
        fail("folder", "weights as they were written", f"others in {path}")
    variables = unflatten_dict({tuple(name.split("/")): x for name, x in weights.items()})
    if net is not None:
        check_network(net)
    built = net if net is not None else _built(page["net"], path)
    variables = _fitting(built, variables, len(page["window"]), page["channels"])
    return {
        "net": built,
        "variables": variables,
        "channels": page["channels"],
        "window": tuple(page["window"]),
        "settings": Settings(**page["settings"]),
        "intensities": Intensities(**{name: _tupled(value) for name, value in page["intensities"].items()}),
        "score": math.nan if page["score"] is None else page["score"],
    }


def as_folder(folder: Any, name: str = "folder") -> Path:
    """A path that is no file.

    Raises:
        ValueError: anything else.
    """
    if not isinstance(folder, str | Path) or not str(folder) or "\0" in str(folder):
        fail(name, "a path", shown(folder))
    path = Path(folder)
    try:
        is_file = path.exists() and not path.is_dir()
    except OSError as error:  # a name that the file system does not take
        fail(name, "a path", f"one that is none here ({error.strerror})")
    if is_file:
        fail(name, "a folder", f"the file {shown(str(path))}")
    return path


def write_page(path: Path, page: Mapping[str, Any]) -> None:
    """Writes a JSON file completely or not at all."""
    draft = path.with_suffix(".tmp")
    with draft.open("w") as file:
        json.dump(page, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, path)


def arrays_of(variables: Any) -> dict[str, np.ndarray]:
    """The arrays of a network by their place in it, such as `params/head/kernel`."""
    return {"/".join(names): np.asarray(leaf) for names, leaf in flatten_dict(variables).items()}


def digest_of(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of arrays and their names."""
    total = hashlib.sha256()
    for name in sorted(arrays):
        total.update(f"{name} {arrays[name].dtype} {arrays[name].shape} ".encode())
        total.update(np.ascontiguousarray(arrays[name]).tobytes())
    return total.hexdigest()


def _page_digest(page: Mapping[str, Any]) -> str:
    text = json.dumps({key: value for key, value in page.items() if key != "page_digest"}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def described(net: nn.Module) -> dict[str, Any] | None:
    """A U-Net as plain values; None for another network, which `load_model` must be given."""
    if type(net) is not UNet:
        return None
    own = {f.name: getattr(net, f.name) for f in dataclasses.fields(net) if f.name not in ("parent", "name")}
    names = [name for name in ACTIVATIONS if getattr(nn, name) is own["activation"]]
    if not names:
        expected = "an activation among " + ", ".join(ACTIVATIONS)
        fail("net", expected, shown(own["activation"]), "others cannot be written down")
    types = {name: None if own[name] is None else jnp.dtype(own[name]).name for name in ("dtype", "param_dtype")}
    return {**own, **types, "activation": names[0]}


def _built(described: Any, path: Path) -> UNet:
    if described is None:
        fail("net", f"the network, which {path} does not describe, since it is no `shiftjax.UNet`", "none")
    types = {name: described[name] and jnp.dtype(described[name]) for name in ("dtype", "param_dtype")}
    listed = {name: _tupled(value) for name, value in described.items()}
    return UNet(**{**listed, **types, "activation": getattr(nn, described["activation"])})


def _tupled(value: Any) -> Any:
    return tuple(map(_tupled, value)) if isinstance(value, list) else value


def _fitting(net: nn.Module, weights: Any, ndim: int, channels: int) -> Any:
    """Weights in the types of the network's variables; those of another network are refused."""
    expected = shapes(net, ndim, channels)
    trees: list[Any] = [jax.tree.structure(x) for x in (expected, weights)]
    alike = trees[0] == trees[1] and all(
        a.shape == b.shape for a, b in zip(jax.tree.leaves(expected), jax.tree.leaves(weights), strict=True)
    )
    if not alike:
        fail("net", "the network that the weights are of", "another one")
    return jax.tree.map(lambda like, x: jnp.asarray(x, like.dtype), expected, weights)
