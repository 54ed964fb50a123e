"""Which modules are taken, and what is said of the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from shiftjax._checks import fail, shown
from shiftjax.translation._torch.tensors import torch

EXPECTED = "an `nn.Module` in eval mode, an ExportedProgram, or the path of a .pt2 file"


def module_of(given: Any) -> tuple[Any, str]:
    """The module and its name; an exported program becomes a module again.

    Raises:
        ValueError: it is none, or not in eval mode.
    """
    nn = torch().nn
    if isinstance(given, torch().export.ExportedProgram):
        return given.module(), "ExportedProgram"
    if isinstance(given, Mapping):
        mend = "build the module, call `module.load_state_dict(...)` and `module.eval()`, and give the module"
        fail("module", EXPECTED, "a state dict, which holds weights without a network", mend)
    if isinstance(given, type) and issubclass(given, nn.Module):
        fail("module", EXPECTED, f"the class {given.__name__}", "make an instance of it")
    if not isinstance(given, nn.Module):
        fail("module", EXPECTED, shown(given))
    name = type(given).__name__
    scripted = [key or name for key, part in given.named_modules() if isinstance(part, torch().jit.ScriptModule)]
    if scripted:
        fail("module", EXPECTED, f"the TorchScript module `{scripted[0]}`", "give the module that it was made from")
    if type(given).__module__.startswith("torch._dynamo"):
        fail("module", EXPECTED, "a compiled module", "give the module that was compiled, `module._orig_mod`")
    if isinstance(given, nn.DataParallel | nn.parallel.DistributedDataParallel):
        fail(
            "module", EXPECTED, f"a {name}, which spreads a module over devices", "give the one inside, `module.module`"
        )
    training = [key or name for key, part in given.named_modules() if part.training]
    if training:
        fail("module", EXPECTED, f"`{training[0]}` in training mode", "call `module.eval()`")
    lazy = [key for key, t in given.named_parameters() if isinstance(t, nn.parameter.UninitializedParameter)]
    if lazy:
        fail("module", EXPECTED, f"`{lazy[0]}` without a shape", "run the module once on an image")
    if any(tensor.is_meta for tensor in tensors(given)):
        fail("module", EXPECTED, "weights on the device 'meta', which holds none", "load the weights")
    return given, name


def tensors(module: Any) -> Iterator[Any]:
    """Parameters and buffers."""
    yield from module.parameters()
    yield from module.buffers()


def device_of(device: Any) -> Any:
    """A device of PyTorch that is there; None where none is asked for.

    Raises:
        ValueError: there is no such device.
    """
    if device is None:
        return None
    try:
        found = torch().empty(0, device=device).device
    except Exception:  # each backend has errors of its own
        fail("device", "a device that PyTorch has here, such as 'cpu'", shown(device))
    if found.type == "meta":
        fail("device", "a device that computes", "'meta'")
    return found
