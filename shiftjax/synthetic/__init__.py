"""Images with known instances, drawn on the device: pure functions of a key and of static sizes.

Images are float32 `(1, *space, 1)`, labels int32 `(1, *space)` with 0 for background.
"""

from shiftjax.synthetic._crop import random_crop
from shiftjax.synthetic._elastic import elastic
from shiftjax.synthetic._lattice import constant, disc_count, disc_lattice
from shiftjax.synthetic._noise import noise
from shiftjax.synthetic._nuclei import nuclei

__all__ = ["constant", "disc_count", "disc_lattice", "elastic", "noise", "nuclei", "random_crop"]
