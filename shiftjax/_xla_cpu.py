"""What was measured of XLA's CPU backend (of JAX 0.10): it decides in which form a computation is handed to it.

The form is chosen when a program is lowered for a platform, never when it is traced: a program that is traced or
exported on one machine runs on others.

None of these numbers changes a result, only time and memory. With another XLA, measure them again: `benchmarks/unet.py`
times the forms of a convolution, `benchmarks/tiling.py` sets estimated beside resident memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import jax
from jax import lax

Value = TypeVar("Value")

# Bytes. A host array that begins at a multiple of this goes to the device as it is; any other one is copied first.
ALIGNMENT = 64

# Whether this XLA copies all windows of a 2-D convolution without padding: that of JAX 0.12 no longer does.
COPIES_WINDOWS = jax.__version_info__[:2] < (0, 12)

# A 2-D convolution without padding first copies every window of the image into a matrix, and multiplies that. At up to
# this many products per output pixel by this many features it runs as a loop without the copy: on an image of 1000^2
# pixels, 144 products (3 x 3 x 16 channels) by 16 features take no memory beside operands and result, but 153 by 16 and
# 144 by 17 take 500 MiB and 6 times as long.
FREE_PRODUCTS, FREE_FEATURES = 144, 16

# The copy holds no more than this many products per output pixel at a time. Resident memory on images of a quarter to
# one million pixels with 16 to 64 channels was never more than that, and at least a third of it.
MAX_PRODUCTS_COPIED = 288

# A 3-D result is filled slab by slab, so that the layers before it exist one slab at a time. More slabs take less
# memory: two layers of 8 features on 100^3 pixels take 113 MiB in one piece, 56 in 4 slabs and 34 in 12, where the
# result itself takes 29. But every slab computes again the slices that it shares with the next one; in slabs of fewer
# than MIN_SLAB slices that is more than an eighth of the work of two 3 x 3 x 3 layers. MAX_SLABS bounds the turns.
MAX_SLABS, MIN_SLAB = 32, 8

# Resident memory of a process that predicts tile by tile, over XLA's estimate of one call, at most.
RESIDENT_OVER_ESTIMATE = 1.3


def copies_windows(products: int, features: int) -> bool:
    """Whether a 2-D convolution without padding copies its windows.

    Args:
        products: per output pixel and feature, the size of the kernel's window times its channels.
        features: channels of the output.
    """
    return products > FREE_PRODUCTS or features > FREE_FEATURES


def cpu_form(form: Callable[..., Value], plain: Callable[..., Value], *arrays: Any) -> Value:
    """`plain(*arrays)`, which a program compiled for a CPU computes as `form(*arrays)`.

    Args:
        form: gives the same values, up to rounding, of the same shape and type.
        plain: what every other platform runs.
        arrays: all that the two depend on, as pytrees.
    """
    return lax.platform_dependent(*arrays, cpu=form, default=plain)
