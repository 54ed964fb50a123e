"""Streams: a certified function computed along one image axis step by step, with no halo.

Every operation keeps the last indices that its next window reads, a skip connection waits in a delay line, and a step
computes only what is new.
"""

from shiftjax._streams._refusal import NotStreamable
from shiftjax._streams._stream import Stream

__all__ = ["NotStreamable", "Stream"]
