"""Encoder-decoders: plain operators, their geometry, and a thin module that holds the parameters."""

from shiftjax.nets.geometry import IllegalSizeError as IllegalSizeError
from shiftjax.nets.unet import UNet as UNet
