"""shiftjax: shift equivariance, exact tiling and certificates for encoder-decoders in JAX."""

from shiftjax import synthetic as synthetic
from shiftjax.certify import Certificate as Certificate
from shiftjax.certify import CertificationError as CertificationError
from shiftjax.certify import certify as certify
from shiftjax.nets import IllegalSizeError as IllegalSizeError
from shiftjax.nets import UNet as UNet
from shiftjax.tiling import TilePlan as TilePlan
from shiftjax.tiling import plan_tiles as plan_tiles
from shiftjax.tiling import predict_tiled as predict_tiled

__version__ = "0.1.0"
