"""A PyTorch module as the program of a `Network`."""

from __future__ import annotations

import hashlib
import io
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shiftjax._checks import fail
from shiftjax._patience import say
from shiftjax.certifier import Cut, Noted
from shiftjax.translation._network import Given, Network
from shiftjax.translation._torch.exported import Graph, export
from shiftjax.translation._torch.given import GivenModule, notes_of
from shiftjax.translation._torch.interpret import evaluate
from shiftjax.translation._torch.outputs import plain
from shiftjax.translation._torch.tensors import autocast_type, to_numpy, torch
from shiftjax.translation._torch.tiles import TileFunction

GRAPHS = 64  # shapes whose graphs are kept: a plan asks for about a dozen


class TorchProgram:
    """What of a module is no weight: its code, and its integers, which decide where it looks.

    Attributes:
        module: as it was given, on the device where it is.
        run: "torch" or "jax", which computes tiles.
        exported: the program of `torch.export` that it comes from, or None.
        name: of the module's class.
        names: of the weights.
        arrays: the weights.
    """

    def __init__(self, module: Any, *, run: str, name: str, exported: Any = None) -> None:
        self.module, self.run, self.name, self.exported = module, run, name, exported
        tensors = state_of(module)
        self._known = {key: t.detach().to("cpu").clone() for key, t in tensors.items() if not t.is_floating_point()}
        weights = {key: t for key, t in tensors.items() if key not in self._known}
        self.names = tuple(weights)
        self.arrays = tuple(_leaf(key, t) for key, t in weights.items())
        self.fingerprint = fingerprint(module)
        self._graphs: OrderedDict[Any, Graph] = OrderedDict()
        self._noted: tuple[Cut, Noted] | None = None

    def __reduce__(self) -> Any:
        if self.exported is None:
            return _again, (self.module, self.run, self.name, self.fingerprint)
        saved = io.BytesIO()
        torch().export.save(self.exported, saved)
        return _opened_again, (saved.getvalue(), self.run, self.device)

    def state(self) -> dict[str, Any]:
        """Parameters and buffers of the module by name."""
        return state_of(self.module)

    @property
    def device(self) -> Any:
        """Where the module is."""
        return next((t.device for t in self.state().values()), torch().device("cpu"))

    def types(self, shape: tuple[int, ...], dtype: np.dtype) -> set[str]:
        """Names of the types in which the module computes for images `(batch, *space, channel)`."""
        batch, *space, channels = shape
        values = (node.meta.get("val") for node in self.graph((batch, channels, *space), np.dtype(dtype)).nodes)
        tensors = (v for v in jax.tree.leaves(list(values)) if isinstance(v, torch().Tensor))
        return {str(v.dtype).removeprefix("torch.") for v in tensors}

    def evaluate(self, arrays: Sequence[Any], image: Any, noted: dict[str, Any] | None = None) -> Any:
        """The module in JAX, of an image `(batch, *space, channel)`; what is computed on the way is noted."""
        moved = jnp.moveaxis(image, -1, 1)
        graph = self.graph(tuple(moved.shape), np.dtype(image.dtype))
        weights = {**self._known, **dict(zip(self.names, arrays, strict=True))}
        outputs = [_channels_last(y, image.ndim) for y in evaluate(graph, weights, moved, noted)]
        return plain(torch().utils._pytree.tree_unflatten(outputs, graph.tree))

    def graph(self, shape: tuple[int, ...], dtype: np.dtype) -> Graph:
        """The module for images `(batch, channel, *space)` of a shape and type."""
        key = (shape, dtype)
        if key not in self._graphs:
            self.check_unchanged()
            self._graphs[key] = export(self.module, shape, dtype, self.device)
            while len(self._graphs) > GRAPHS:
                self._graphs.popitem(last=False)
        self._graphs.move_to_end(key)
        return self._graphs[key]

    def check_unchanged(self) -> None:
        """Refuses a module whose weights, mode or types are others than when it was translated.

        Raises:
            ValueError: they have changed.
        """
        if fingerprint(self.module) != self.fingerprint:
            found = "one whose weights, mode, types or options have changed since"
            fail("module", "the module as it was translated", found, "translate it again with `from_torch`")

    def tile_function(self, network: Network, given: Given | None = None) -> Callable[[np.ndarray], Any] | None:
        """How the module computes tiles; None where JAX is to."""
        if self.run == "jax":
            self.check_unchanged()
            return None
        if given is None:
            return TileFunction(network, self, self.module, network)
        if why := self.why_jax(given.cut):
            say(f"JAX computes the tiles, and not PyTorch: {why}")
            return None
        batch, *space, channels = given.cut.shape
        values = self._notes(given.cut).values(network, given.values)
        measured = (batch, channels, *space), np.dtype(given.cut.dtype)
        kept = GivenModule(self, {}, measured)
        return TileFunction(network, self, GivenModule(self, values, measured), given, kept)

    def why_jax(self, cut: Cut | None = None) -> str:
        """Why JAX computes the tiles, given statistics if there are any; empty where PyTorch does."""
        if self.run == "jax":
            return 'the module was translated with run="jax"'
        if cut is None or not cut.statistics or (missing := self._notes(cut).missing) == ():
            return ""
        if missing is None:
            return "the statistics are not those of the module's operations"
        return f"the statistic at {missing[0]} is taken inside of an operation that is no norm"

    def _notes(self, cut: Cut) -> Noted:
        """What follows from statistics alone, kept for the last cut."""
        if self._noted is None or self._noted[0] is not cut:
            self._noted = cut, notes_of(self, cut)
        return self._noted[1]

    def versions(self, cut: Cut | None = None) -> Mapping[str, str]:
        """PyTorch's, where it computes the tiles, and the type that it casts to."""
        if self.why_jax(cut):
            return {}
        cast = autocast_type(self.device.type)
        return {"torch": torch().__version__ + (f" in {cast}" if cast else "")}


def state_of(module: Any) -> dict[str, Any]:
    """Parameters and buffers by name, each once for every name."""
    named = dict(module.named_parameters(remove_duplicate=False))
    return {**named, **dict(module.named_buffers(remove_duplicate=False))}


def fingerprint(module: Any) -> str:
    """A digest of what may change in a module: weights, types, modes, and the options of PyTorch's own layers."""
    total = hashlib.blake2b()
    for name, tensor in state_of(module).items():
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} {tensor.device} ".encode())
        total.update(np.ascontiguousarray(to_numpy(tensor)).reshape(-1).view(np.uint8).data)
    for name, part in module.named_modules():
        options = part.extra_repr() if type(part).__module__.startswith("torch.nn.") else ""
        total.update(f"{name} {type(part).__qualname__} {part.training} {options} ".encode())
    return total.hexdigest()


def _channels_last(y: Any, ndim: int) -> Any:
    return jnp.moveaxis(y, 1, -1) if getattr(y, "ndim", 0) == ndim else y


def _leaf(name: str, tensor: Any) -> jax.Array:
    array = to_numpy(tensor)
    if jax.dtypes.canonicalize_dtype(array.dtype) != array.dtype:
        found, mend = f"`{name}` in {array.dtype}", "call `module.float()`, or enable jax_enable_x64"
        fail("module", "weights that JAX has all bits of", found, mend)
    return jnp.asarray(array)


def _again(module: Any, run: str, name: str, fingerprint: str) -> TorchProgram:
    """In another process: a module that has changed since it was translated is refused there too."""
    program = TorchProgram(module, run=run, name=name)
    program.fingerprint = fingerprint
    return program


def _opened_again(saved: bytes, run: str, device: Any) -> TorchProgram:
    """An exported program in another process."""
    exported = torch().export.load(io.BytesIO(saved))
    return TorchProgram(exported.module().to(device), run=run, name="ExportedProgram", exported=exported)
