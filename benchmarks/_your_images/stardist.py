"""StarDist, trained from scratch for the same time on the same images, with its defaults (2-D)."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec

import numpy as np

from _your_images.data import Task

WINDOW, EPOCH = 128, 50  # pixels of a training window per axis; steps between two validations
HELD_OUT = 0.25  # of a single image, as `fit` does; of several, the last


def is_here() -> bool:
    """Whether StarDist can be trained, which needs TensorFlow."""
    return all(find_spec(name) for name in ("stardist", "csbdeep", "tensorflow"))


def by_stardist(task: Task, seed: int, *, minutes: float, steps: int | None) -> Callable[[np.ndarray], np.ndarray]:
    """A trained model as a function of images.

    Args:
        task: 2-D.
        seed: of TensorFlow and NumPy.
        minutes: of training, if steps are not given.
        steps: of training, one window each.
    """
    keras_import = import_module("csbdeep.utils.tf").keras_import  # of the Keras that StarDist uses
    models, normalize = import_module("stardist.models"), import_module("csbdeep.utils").normalize
    keras_import("utils").set_random_seed(seed)
    images = [normalize(image, 1, 99.8) for image, _ in task.train]
    labels = [labels.astype(np.int32) for _, labels in task.train]
    if len(images) == 1:
        cut = round((1 - HELD_OUT) * images[0].shape[1])
        parts = (slice(None), slice(0, cut)), (slice(None), slice(cut, None))
        (images, held), (labels, true) = ([[x[0][part]] for part in parts] for x in (images, labels))
    else:
        images, held, labels, true = images[:-1], images[-1:], labels[:-1], labels[-1:]

    class Clock(keras_import("callbacks", "Callback")):  # type: ignore[misc]
        """Ends the training when its time is up."""

        def on_train_begin(self, logs: object = None) -> None:
            self.end = time.monotonic() + 60 * minutes

        def on_train_batch_end(self, batch: int, logs: object = None) -> None:
            if steps is None and time.monotonic() > self.end:
                self.model.stop_training = True

    with tempfile.TemporaryDirectory() as folder:
        config = models.Config2D(
            n_rays=32,
            grid=(1, 1),
            train_patch_size=(WINDOW, WINDOW),
            train_batch_size=1,
            train_epochs=10**5 if steps is None else -(-steps // EPOCH),
            train_steps_per_epoch=EPOCH,
            train_tensorboard=False,
        )
        model = models.StarDist2D(config, name="trained", basedir=folder)
        model.prepare_for_training()
        model.callbacks.append(Clock())
        model.train(images, labels, validation_data=(held, true), augmenter=_turned)
        model.optimize_thresholds(held, true)
    return lambda image: np.asarray(model.predict_instances(normalize(image, 1, 99.8))[0])


def _turned(image: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Right angles and mirrors, brighter and darker, noisier: what StarDist's examples do."""
    turns = np.random.randint(4)  # noqa: NPY002 - StarDist draws from NumPy's global state, too
    image, labels = np.rot90(image, turns), np.rot90(labels, turns)
    if np.random.rand() < 0.5:  # noqa: NPY002
        image, labels = image[::-1], labels[::-1]
    image = image * np.random.uniform(0.6, 2) + np.random.uniform(-0.2, 0.2)  # noqa: NPY002
    return image + 0.02 * np.random.uniform() * np.random.normal(size=image.shape), labels  # noqa: NPY002
