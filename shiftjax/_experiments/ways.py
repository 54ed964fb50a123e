"""The ways to predict a picture tile by tile: as it is planned, and as it is done without a plan."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shiftjax._arithmetic import ceil_div
from shiftjax._experiments.data import Picture
from shiftjax._experiments.experiment import Training
from shiftjax._experiments.sampling import POLYPHASE, Sampled, with_phases_of
from shiftjax._typing import Array
from shiftjax.freezing import freeze_statistics
from shiftjax.nets import UNet
from shiftjax.tiling import TilePlan, predict_tiled

Apply = Callable[[Array], Array]
Predict = Callable[[Array, TilePlan], np.ndarray]
AT_ONCE = 16  # tiles per call
OVERLAP = 8  # pixels, the least that a same-padded tile reads beyond what is kept of it


@dataclass(frozen=True)
class Way:
    """How a network's tiles are computed.

    Attributes:
        name: in a figure; empty where the network's own name says it.
        apply: what plans are made for.
        predict: from the image and a plan, the output stitched from tiles of the plan's size.
        by_hand: the same from tiles of the plan's size and place that are computed without asking what it proves.
        constants: of the function, which replicas need not share.
    """

    name: str
    apply: Apply
    predict: Predict
    by_hand: Predict
    constants: Hashable = None

    @property
    def planned(self) -> bool:
        """Whether what a plan proves holds for the tiles."""
        return self.predict is not self.by_hand


def ways(training: Training, net: UNet, variables: Any, picture: Picture) -> list[Way]:
    """How a trained network's tiles are computed.

    A same-padded network is given tiles with some overlap, of which the centre is kept, as is usual. One with instance
    norms computes tiles with the statistics of each, and with those of the picture; one that chooses what a stride
    keeps, likewise.
    """
    apply = jax.tree_util.Partial(net.apply, variables)
    by_hand = _by_hand(jax.jit(apply), training, net)
    if training.padding == "SAME":
        return [Way("", apply, by_hand, by_hand)]
    if training.norm == "instance":
        frozen = freeze_statistics(apply, picture.image, pad="reflect", progress=False)
        return [
            Way("statistics of each tile", frozen, by_hand, by_hand),
            Way("statistics frozen", frozen, partial(predict_tiled, frozen), by_hand),
        ]
    if isinstance(net, Sampled) and net.sampling == POLYPHASE:
        chosen = with_phases_of(net, variables, picture.image)
        fixed = jax.tree_util.Partial(chosen.apply, variables)
        return [
            Way("phases of each tile", fixed, by_hand, by_hand, chosen.phases),
            Way("phases frozen", fixed, partial(predict_tiled, fixed), by_hand, chosen.phases),
        ]
    return [Way("", apply, partial(predict_tiled, apply), by_hand)]


def _by_hand(apply: Apply, training: Training, net: UNet) -> Predict:
    """Tiles of the plan's size and place, predicted and stitched without asking what the plan proves."""

    def predict(image: Array, plan: TilePlan) -> np.ndarray:
        (tile, *_), (period, *_) = plan.tile_output, plan.period
        if training.padding == "SAME":
            read = period * ceil_div(tile + 2 * OVERLAP, period)
            before = skipped = (read - tile) // 2
        else:
            axis = net.geometry[0]
            (legal, *_) = net.legal_sizes(tile + axis.loss + period)
            read, _, before = min(size for size in legal if size[1] >= tile)
            skipped = 0
        host: Any = np.asarray(image)
        ndim = host.ndim - 2
        # Continued beyond its border, by more than any tile reads there.
        continued = np.pad(host, [(0, 0), *((read, 2 * read),) * ndim, (0, 0)], mode="reflect")
        places: list[Any] = [(n, *plan.output_slices(at)) for n, at in product(range(len(host)), plan.tiles())]
        corners = [(n, [read + where.start - before for where in space]) for n, *space in places]
        inputs = [continued[(n, *(slice(p, p + read) for p in corner))] for n, corner in corners]
        kept = (slice(None), *(slice(skipped, skipped + tile),) * ndim)
        outputs = np.concatenate(
            [_called(apply, inputs[k : k + AT_ONCE])[kept] for k in range(0, len(inputs), AT_ONCE)]
        )
        whole: Any = np.empty((*host.shape[:-1], outputs.shape[-1]), outputs.dtype)
        for place, output in zip(places, outputs, strict=True):
            part = whole[place]
            part[:] = output[tuple(slice(n) for n in part.shape[:-1])]  # the image may end within the tile
        return whole

    return predict


def _called(apply: Apply, tiles: list[np.ndarray]) -> np.ndarray:
    """The outputs of a few tiles, filled up so that one program serves all."""
    filled = tiles + [tiles[0]] * (AT_ONCE - len(tiles))
    return np.asarray(apply(jnp.asarray(np.stack(filled))))[: len(tiles)]
