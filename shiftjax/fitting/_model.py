"""A trained network with all that turns an image into labels."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from shiftjax._checks import array, fail, finite, shown, switch
from shiftjax._typing import ArrayLike
from shiftjax.certifier import Certificate, certify
from shiftjax.fitting._data.intensities import Intensities
from shiftjax.fitting._saving import write_model
from shiftjax.fitting._settings import Settings, foreground, labels_of
from shiftjax.tiling import TilePlan, plan_tiles, predict_tiled
from shiftjax.volume import NewTarget, Recompute, Segmented, Source, open_source, predict_volume, segment_volume


@dataclass(frozen=True)
class Model:
    """A network, its weights, and what turns its output into labels. Made by `fit`, `load_model` and `pretrained`.

    The first channel of the network's output is the logit of the foreground, the others are the embedding.

    Attributes:
        net: the Linen module.
        variables: its weights.
        channels: of an image.
        window: input pixels of a training window, per axis.
        settings: foreground threshold, bandwidth of mean shift, and pixels of the smallest object.
        intensities: how an image is scaled: percentiles, and what is typical of the training images.
        score: AP50 on the images that were held out, as `average_precision` counts it; NaN where none were. On the same
            images the settings were chosen.
    """

    net: nn.Module
    variables: Any = field(repr=False)
    channels: int
    window: tuple[int, ...]
    settings: Settings
    intensities: Intensities
    score: float = math.nan

    @property
    def ndim(self) -> int:
        """Spatial axes of an image."""
        return len(self.window)

    @property
    def fn(self) -> jax.tree_util.Partial:
        """The network as a function of images `(batch, *space, channel)` that are scaled by `intensities`."""
        return jax.tree_util.Partial(self.net.apply, self.variables)

    @property
    def certificate(self) -> Certificate:
        """The proof of period and receptive field, for one training window."""
        return certify(self.fn, jax.ShapeDtypeStruct((1, *self.window, self.channels), jnp.float32))

    def segment(
        self,
        image: ArrayLike,
        *,
        tile: int | tuple[int, ...] | None = None,
        memory_bytes: int | str | None = None,
    ) -> np.ndarray:
        """Labels the objects of an image of any size, by exact tiles: no object is cut where tiles meet.

        Args:
            image: `(*space)`, or `(*space, channel)`, of any real type; its intensities are scaled as a whole.
            tile: wished image pixels that a tile stands for; see `plan_tiles`. Labels do not depend on it.
            memory_bytes: the most that predicting may take on a device; see `plan_tiles`.

        Returns:
            int32 labels `(*space)`: 0 = background, objects 1, 2, 3... by first pixel.

        Raises:
            ValueError: other axes or channels than the model was trained for, NaN or infinity, or an image without
                contrast.
        """
        return labels_of(self._output(image, tile, memory_bytes), self.settings)[0]

    def embed(
        self,
        image: ArrayLike,
        *,
        tile: int | tuple[int, ...] | None = None,
        memory_bytes: int | str | None = None,
    ) -> np.ndarray:
        """The embedding of every pixel of an image.

        Args:
            image: as `segment` takes it.
            tile: likewise, in image pixels.
            memory_bytes: likewise.

        Returns:
            float32 `(*space, channel)`.

        Raises:
            ValueError: as `segment`.
        """
        return self._output(image, tile, memory_bytes)[0, ..., 1:]

    def plan(self, space: tuple[int, ...], *, tile: Any = None, memory_bytes: Any = None) -> TilePlan:
        """The tiles of an image of so many pixels per axis; see `plan_tiles`."""
        shape = (1, *space, self.channels)
        return plan_tiles(self.fn, shape, tile=tile, memory_bytes=memory_bytes, stream=False)

    def segment_volume(
        self,
        source: Any,
        target: str | Path | NewTarget,
        *,
        axes: str | None = None,
        channel: int | None = None,
        embedding: str | Path | NewTarget | None = None,
        tile: int | tuple[int, ...] | None = None,
        memory_bytes: int | str | None = None,
        progress: bool = True,
        **options: Any,
    ) -> Segmented:
        """Labels the objects of a volume that need not fit in memory, from storage to storage.

        Intensities are scaled over all planes and time points together, where `segment` scales each image by itself;
        and where there is a bandwidth, the clusters are those of pixels drawn from the whole volume.

        Args:
            source: what `shiftjax.volume.open_source` takes or returns. A model of y and x alone labels each plane.
            target: as `shiftjax.segment_volume` takes it: the labels become `labels/instances` in this OME-Zarr group.
            axes: of the source; by default those that its metadata name.
            channel: the only one that is used; by default all.
            embedding: where the network's output is kept, as `predict_volume` takes its target; by default nowhere, and
                the network runs twice.
            tile: wished image pixels that a tile stands for.
            memory_bytes: the most that predicting may take on a device.
            progress: whether to show bars.
            **options: of `shiftjax.segment_volume`, such as `resume`, `client`, `name`, `samples` or `missing`.

        Returns:
            The labels, the number of objects, and their codes.

        Raises:
            VolumeError: storage that fails; see `shiftjax.segment_volume`.
            ValueError: a source that does not fit the model, or options that do not fit the source.
        """
        volume = open_source(source, axes=axes, channel=channel).for_network(self.ndim)
        self._check_source(volume)
        scale = self.intensities.of(volume)
        plan = self.plan(volume.space, tile=tile, memory_bytes=memory_bytes)
        output: Any = Recompute(self.fn, volume, preprocess=scale)
        if embedding is not None:
            missing = options.get("missing", "fill")
            predict_volume(self.fn, volume, embedding, plan, preprocess=scale, progress=progress, missing=missing)
            output = open_source(embedding.path if isinstance(embedding, NewTarget) else embedding)
        options = {"key": jax.random.key(0), **options}
        if self.settings.bandwidth is None:  # one code for all: the foreground alone tells objects apart
            options = {"codebook": np.zeros((1, plan.outputs[0].channels - 1), np.float32), **options}
        return segment_volume(
            output,
            target,
            plan,
            bandwidth=self.settings.bandwidth or 1.0,
            foreground=jax.tree_util.Partial(foreground, logit=self.settings.logit),
            min_size=self.settings.min_size,
            channels=slice(1, None),
            progress=progress,
            **options,
        )

    def save(self, folder: str | Path, *, half: bool = False) -> None:
        """Writes the model into a folder, which `load_model` reads: JSON and plain arrays, no code.

        Args:
            folder: made where there is none; a model in it is replaced.
            half: whether weights are rounded to float16, which takes half the space.

        Raises:
            ValueError: the folder holds something else, or the network is no `UNet` of known parts.
        """
        write_model(self, folder, half=switch("half", half))

    def _output(self, image: ArrayLike, tile: Any, memory_bytes: Any) -> np.ndarray:
        pixels = self._batch(image)
        prepared = self.intensities.prepared(pixels)
        plan = self.plan(pixels.shape[1:-1], tile=tile, memory_bytes=memory_bytes)
        return np.asarray(predict_tiled(self.fn, prepared, plan))

    def _batch(self, image: Any) -> np.ndarray:
        """The image as `(1, *space, channel)`."""
        if isinstance(image, str | Path):
            fail("image", "an array", shown(image), "read it first: `tifffile.imread(path)`; or see `segment_volume`")
        pixels = np.asarray(array("image", image))
        if pixels.ndim == self.ndim and self.channels == 1:
            pixels = pixels[..., None]
        if pixels.ndim != self.ndim + 1 or pixels.shape[-1] != self.channels or 0 in pixels.shape:
            one = " or without" if self.channels == 1 else ""
            expected = f"{self.ndim} spatial axes, with{one} a last one of {self.channels} channels, as in training"
            several = self.channels == 1 and pixels.ndim == self.ndim + 1
            mend = "give one of its channels or planes alone" if several else ""
            fail("image", expected, f"shape {pixels.shape}", mend)
        finite("image", pixels)
        return pixels[None]

    def _check_source(self, volume: Source) -> None:
        if len(volume.space) != self.ndim or volume.channels != self.channels:
            expected = f"{self.ndim} spatial axes and {self.channels} channels, as in training"
            found = f"{len(volume.space)} and {volume.channels} in {volume.name}"
            fail("source", expected, found, "name its axes by `axes`, or choose one channel by `channel`")
