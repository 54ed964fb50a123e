"""The doors: a module, an exported program or a file becomes a network."""

from __future__ import annotations

import copy
import os
import sys
from pathlib import Path
from typing import Any

from shiftjax._checks import fail, one_of, shown
from shiftjax.translation._network import Network

RUNS = ("torch", "jax")
OTHERS = {
    ".pt": "TorchScript or a pickle",
    ".pth": "a pickle of PyTorch",
    ".ckpt": "a checkpoint of PyTorch",
    ".onnx": "ONNX",
    ".keras": "Keras",
    ".h5": "Keras or weights",
    ".yaml": "a description of the BioImage Model Zoo",
    ".zip": "a package of the BioImage Model Zoo",
}
EXPORT = "`torch.export.save(torch.export.export(module, (image,), dynamic_shapes=...), 'net.pt2')`"


def from_torch(module: Any, *, run: str = "torch", device: Any = None) -> Network:
    """A PyTorch network, unchanged, as a function of images `(batch, *space, channel)`.

    `certify`, `plan_tiles`, `predict_tiled`, `predict_volume` and the assertions of `testing` take it as they take any
    function. Called, it is the module's translation to JAX, which is what is proved; with `run="torch"` the tiles of
    `predict_tiled` and `predict_volume` are computed by the module itself, under the plan proved for its translation,
    and the first of them is compared with it.

    Args:
        module: an `nn.Module` in eval mode, of one tensor `(batch, channel, *space)`; or a
            `torch.export.ExportedProgram`; or the path of a `.pt2` file.
        run: "torch" or "jax": which computes tiles. Only the network itself is run by PyTorch; a function around it,
            such as `lambda x: softmax(net(x))`, is computed in JAX.
        device: where PyTorch computes tiles, such as "cuda"; by default where the module is. On another device there
            is a copy of the module.

    Returns:
        The network. Its leaves are the parameters and the floating-point buffers.

    Raises:
        ImportError: PyTorch is not installed.
        ValueError: no module in eval mode, or no such device.

    Example:
        `net = sj.from_torch(model.eval()); plan = sj.plan_tiles(net, image.shape, pad=None)`, then
        `sj.predict_tiled(net, image, plan)`.
    """
    one_of("run", run, RUNS)
    from shiftjax.translation._torch import accepted
    from shiftjax.translation._torch.program import TorchProgram

    if isinstance(module, str | os.PathLike):
        return open_model(module, run=run, device=device)
    found, name = accepted.module_of(module)
    target = accepted.device_of(device)
    exported = None if found is module else module
    if target is not None and any(tensor.device != target for tensor in accepted.tensors(found)):
        found = copy.deepcopy(found).to(target)
    program = TorchProgram(found, run=run, name=name, exported=exported)
    return Network(program, program.arrays)


def translated(fn: Any) -> Any:
    """A PyTorch module by `from_torch`; any other function as it is. PyTorch is not loaded for it.

    Args:
        fn: a function or a module.

    Returns:
        A function of images `(batch, *space, channel)`.
    """
    loaded = sys.modules.get("torch")
    return from_torch(fn) if loaded is not None and isinstance(fn, loaded.nn.Module) else fn


def open_model(path: str | os.PathLike[str], *, run: str = "torch", device: Any = None) -> Network:
    """A network from a file: `.pt2`, as `torch.export.save` writes it. No code of the file is run.

    Args:
        path: of the file.
        run: "torch" or "jax", as for `from_torch`.
        device: as for `from_torch`.

    Returns:
        The network, as `from_torch` returns it. It takes the sizes that it was exported for: with `dynamic_shapes`,
        say `{"x": {2: Dim.AUTO, 3: Dim.AUTO}}`, all that the module takes.

    Raises:
        ImportError: PyTorch is not installed.
        ValueError: no such file, or one of another format.
    """
    one_of("run", run, RUNS)
    if not isinstance(path, str | os.PathLike):
        fail("path", "the path of a .pt2 file", shown(path))
    place = Path(path)
    if place.suffix.lower() in OTHERS:
        what = f"{OTHERS[place.suffix.lower()]} at {str(place)!r}"
        mend = "build the module, load its weights and give it to `from_torch`"
        fail("path", "a .pt2 file", what, f"{mend}, or write one with {EXPORT}")
    if not place.is_file():
        fail("path", "the path of a .pt2 file", f"no file at {str(place)!r}")
    from shiftjax.translation._torch.files import load

    return from_torch(load(place), run=run, device=device)
