"""Images with known instances, drawn on the device: pure functions of a key and of static sizes.

Images are float32 `(1, *space, 1)`, labels int32 `(1, *space)` with 0 for background.
"""

from shiftjax.synthetic._crop import random_crop as random_crop
from shiftjax.synthetic._elastic import elastic as elastic
from shiftjax.synthetic._lattice import constant as constant
from shiftjax.synthetic._lattice import disc_count as disc_count
from shiftjax.synthetic._lattice import disc_lattice as disc_lattice
from shiftjax.synthetic._noise import noise as noise
from shiftjax.synthetic._nuclei import nuclei as nuclei
