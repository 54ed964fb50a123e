"""Models from folders, and those that come with the library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from shiftjax._checks import one_of
from shiftjax.fitting._model import Model
from shiftjax.fitting._saving import read_model

MODELS = Path(__file__).parent / "_models"
NAMES = ("nuclei",)


def load_model(folder: str | Path, *, net: Any = None) -> Model:
    """Reads a model that `Model.save` or `fit(out=...)` wrote.

    Args:
        folder: with the model.
        net: the network, where it is no `shiftjax.UNet` and so could not be written down.

    Returns:
        The model, as it was saved.

    Raises:
        ValueError: no model, one of another version, or one that has changed since it was written.
    """
    return Model(**read_model(folder, net))


def pretrained(name: str) -> Model:
    """A model that comes with the library.

    Args:
        name: "nuclei": fluorescent nuclei in 2-D, of about 10 to 40 px, brighter than what is around them; trained on
            simulated ones by `scripts/train_nuclei.py`.

    Returns:
        The model.

    Raises:
        ValueError: an unknown name.
    """
    one_of("name", name, NAMES)
    return load_model(MODELS / name)
