"""Encoder-decoders: plain operators, their geometry, and a thin module that holds the parameters."""

from shiftjax.nets import operators as operators
from shiftjax.nets._geometry import AxisGeometry as AxisGeometry
from shiftjax.nets._geometry import IllegalSizeError as IllegalSizeError
from shiftjax.nets._unet import UNet as UNet
