"""Tiles computed by the module itself; the first of them once more and by its translation, and compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from shiftjax._checks import fail, told
from shiftjax.translation._error import TranslationError
from shiftjax.translation._network import Network, unchanged
from shiftjax.translation._torch.exported import OF_FAKES
from shiftjax.translation._torch.outputs import plain
from shiftjax.translation._torch.tensors import autocast_type, to_numpy, to_torch, torch

if TYPE_CHECKING:
    from shiftjax.translation._torch.program import TorchProgram

# Of the largest output: what sums in another order may differ by, with room for deep networks.
ROUNDING = {"float64": 1e-10, "float32": 1e-4, "float16": 2e-2, "bfloat16": 1e-1}
SMALLEST = 1e-4  # of the largest channel's: below, a channel may be what cancels out of larger numbers
COMPARED = 16  # calls at most, if tiles show the same again and again
TENSOR_CORES = 1e-2  # accelerators multiply float32 with 10 bits unless told otherwise
TRANSLATION = (
    "tiles of the module equal to those of its translation",
    "if the module has changed since it was translated (a hook, an attribute, an option), translate it again; else "
    "it depends on more than the image, or the translation is at fault: please report it",
)
AGAIN = (
    "a module that gives the same for the same tiles",
    "keep no state in `forward`, and draw no random numbers there",
)


class TileFunction:
    """Computes tiles `(tile, *size, channel)` on the host, with the module on its device.

    Args:
        network: of the module.
        program: of the network.
        module: a function of a tensor: the module, or the module given statistics.
        translated: the same in JAX.
        kept: where the module is given statistics, the same operations without them, for the module itself to be
            compared with: they are those that were exported once.
    """

    def __init__(
        self,
        network: Network,
        program: TorchProgram,
        module: Callable[[Any], Any],
        translated: Callable[[Any], Any],
        kept: Callable[[Any], Any] | None = None,
    ) -> None:
        unchanged(network)
        program.check_unchanged()
        self._program, self._module, self._translated, self._kept = program, module, translated, kept
        self._types: list[np.dtype] = []  # of the outputs; empty until the first tiles are compared
        self._told_apart = False  # whether tiles with something on them were compared: on blank ones much is alike
        self._compared = 0  # calls

    def __call__(self, tiles: np.ndarray) -> Any:
        """The outputs, on the host.

        Raises:
            ValueError: they are not those of the translation.
        """
        outputs = self._computed(self._module, tiles)
        if not self._types or (not self._told_apart and self._compared < COMPARED and _varied(tiles).any()):
            translated = self._translated(jnp.asarray(tiles))
            rounding = self._rounding(tiles)
            _compare(outputs, translated, rounding, *TRANSLATION)
            _compare(self._computed(self._module, tiles), outputs, rounding, *AGAIN)
            if self._kept is not None:
                itself = self._computed(self._program.module, tiles)
                _compare(itself, self._computed(self._kept, tiles), rounding, *TRANSLATION)
            self._types = [np.dtype(y.dtype) for y in jax.tree.leaves(translated)]
            images = [y for y in jax.tree.leaves(outputs) if y.ndim == tiles.ndim]
            self._told_apart = bool(_varied(tiles).any()) and all(_varied(y).all() for y in images)
            self._compared += 1
        leaves, tree = jax.tree.flatten(outputs)
        # Automatic casts may give narrower numbers than were planned for, PyTorch's counts have more bits than JAX's.
        typed = [y.astype(dtype, copy=False) for y, dtype in zip(leaves, self._types, strict=True)]
        return jax.tree.unflatten(tree, typed)

    def _computed(self, module: Callable[[Any], Any], tiles: np.ndarray) -> Any:
        image = to_torch(np.moveaxis(tiles, -1, 1)).to(self._program.device)
        # A copy in either case: a module may write into its image.
        image = image.clone(memory_format=_memory_format(self._program.module, image.ndim))
        try:
            with torch().no_grad():
                outputs = module(image)
                if any(type(y).__name__ == "FakeTensor" for y in torch().utils._pytree.tree_leaves(outputs)):
                    _, reason, advice = OF_FAKES
                    raise TranslationError("constant", "unknown", reason, advice)
                outputs = torch().utils._pytree.tree_map_only(torch().Tensor, to_numpy, outputs)
        except TranslationError:
            raise
        except Exception as error:  # whatever the module raises
            mend = "give `batch_size=1`" if len(tiles) > 1 else "translate the module that was planned for"
            fail("fn", f"a module that takes tiles {tiles.shape}", f"one that raises {told(error)}", mend)
        ndim = tiles.ndim
        leaves, tree = jax.tree.flatten(plain(outputs))
        moved = (np.moveaxis(y, 1, -1) if y.ndim == ndim else y for y in map(np.asarray, leaves))
        return jax.tree.unflatten(tree, moved)

    def _rounding(self, tiles: np.ndarray) -> float:
        """What may differ by rounding alone, of the largest output; of classes, of how many pixels."""
        device = self._program.device.type
        types = {*self._program.types(tiles.shape, tiles.dtype), autocast_type(device)}
        allowed = max((ROUNDING[name] for name in types if name in ROUNDING), default=0.0)
        accelerated = device != "cpu" or jax.default_backend() != "cpu"
        return max(allowed, TENSOR_CORES) if accelerated and "float32" in types else allowed


def _compare(outputs: Any, others: Any, rounding: float, expected: str, mend: str) -> None:
    own_leaves, tree = jax.tree.flatten(outputs)
    other_leaves, other_tree = jax.tree.flatten(others)
    if str(tree) != str(other_tree):
        fail("fn", expected, "outputs of another structure", mend)
    for own, other in zip(own_leaves, other_leaves, strict=True):
        if own.shape != other.shape:
            fail("fn", expected, f"shapes {own.shape} and {other.shape}", mend)
        difference, of = _difference(own, np.asarray(other))
        if not difference <= rounding:
            fail("fn", expected, f"a difference of {difference:.2g} of the {of}", mend)


def _varied(images: np.ndarray) -> np.ndarray:
    """Whether pixels of an image differ, for each channel: of `(batch, *space, channel)`."""
    first = images[(slice(None), *(slice(1),) * (images.ndim - 2))]
    return (images != first).any(axis=tuple(range(images.ndim - 1)))


def _difference(own: np.ndarray, other: np.ndarray) -> tuple[float, str]:
    """How far apart two outputs are, and of what that is a share."""
    ours, theirs = np.asarray(own, np.float64), np.asarray(other, np.float64)
    apart = ~((ours == theirs) | (np.isnan(ours) & np.isnan(theirs)))  # infinities of one sign are equal
    if not jnp.issubdtype(own.dtype, jnp.floating):
        # Where two classes are nearly as likely, rounding decides.
        _, counts = np.unique(theirs, return_counts=True)
        rarer = int(counts.sum() - counts.max(initial=0))
        return int(apart.sum()) / max(1, rarer), "pixels that are not of the most frequent value"
    # Channels of an image differ in their units.
    along = tuple(range(theirs.ndim - 1)) if theirs.ndim > 2 else None
    sizes = np.abs(np.where(np.isfinite(theirs), theirs, 0)).max(axis=along, initial=0)
    sizes = np.maximum(sizes, max(SMALLEST * sizes.max(initial=0), float(np.finfo(np.float32).tiny)))
    distances = np.abs(np.subtract(ours, theirs, out=np.zeros_like(ours), where=apart)) / sizes
    return float(distances.max(initial=0)), "largest value of its channel"


def _memory_format(module: Any, ndim: int) -> Any:
    """Channels last where the module's kernels are."""
    last = {4: torch().channels_last, 5: torch().channels_last_3d}.get(ndim)
    kernels = [p for p in module.parameters() if p.ndim == ndim and min(p.shape[:2]) > 1 and max(p.shape[2:]) > 1]
    if last is not None and kernels and all(p.is_contiguous(memory_format=last) for p in kernels):
        return last
    return torch().contiguous_format
