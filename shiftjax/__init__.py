"""shiftjax: shift equivariance, exact tiling and certificates for encoder-decoders in JAX.

Begin with `fit` or `pretrained` for your own images, with `certify`, `plan_tiles` and `predict_tiled` for your own
network, with `from_torch` for one of PyTorch, and with `predict_volume` and `segment_volume` for volumes.
"""

import importlib as _importlib
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from shiftjax import certifier as certifier
from shiftjax import clustering as clustering
from shiftjax import labelling as labelling
from shiftjax import metrics as metrics
from shiftjax import nets as nets
from shiftjax import synthetic as synthetic
from shiftjax import theory as theory
from shiftjax import tiling as tiling
from shiftjax._instances import instances as instances
from shiftjax._losses import discriminative_loss as discriminative_loss
from shiftjax._version import VERSION as _VERSION
from shiftjax.certifier import Certificate as Certificate
from shiftjax.certifier import CertificationError as CertificationError
from shiftjax.certifier import certify as certify
from shiftjax.clustering import Clusters as Clusters
from shiftjax.clustering import mean_shift as mean_shift
from shiftjax.labelling import connected_components as connected_components
from shiftjax.labelling import drop_small as drop_small
from shiftjax.labelling import relabel as relabel
from shiftjax.metrics import average_precision as average_precision
from shiftjax.metrics import distinct_embeddings as distinct_embeddings
from shiftjax.metrics import seam_disagreement as seam_disagreement
from shiftjax.metrics import split_merge_counts as split_merge_counts
from shiftjax.nets import IllegalSizeError as IllegalSizeError
from shiftjax.nets import UNet as UNet
from shiftjax.theory import lattice_capacity as lattice_capacity
from shiftjax.tiling import TilePlan as TilePlan
from shiftjax.tiling import plan_tiles as plan_tiles
from shiftjax.tiling import predict_tiled as predict_tiled

if _TYPE_CHECKING:  # loaded when first used, see below
    from shiftjax import fitting as fitting
    from shiftjax import freezing as freezing
    from shiftjax import translation as translation
    from shiftjax import volume as volume
    from shiftjax.fitting import Model as Model
    from shiftjax.fitting import fit as fit
    from shiftjax.fitting import load_model as load_model
    from shiftjax.fitting import pretrained as pretrained
    from shiftjax.freezing import Frozen as Frozen
    from shiftjax.freezing import freeze_statistics as freeze_statistics
    from shiftjax.freezing import load_statistics as load_statistics
    from shiftjax.translation import TranslationError as TranslationError
    from shiftjax.translation import from_torch as from_torch
    from shiftjax.translation import open_model as open_model
    from shiftjax.volume import VolumeError as VolumeError
    from shiftjax.volume import predict_volume as predict_volume
    from shiftjax.volume import segment_volume as segment_volume

__version__ = _VERSION

# What half of the time to import everything would go into is loaded when it is first used; training needs optax.
_LAZY = {
    name: module
    for module, names in {
        "fitting": ["Model", "fit", "load_model", "pretrained"],
        "freezing": ["Frozen", "freeze_statistics", "load_statistics"],
        "translation": ["TranslationError", "from_torch", "open_model"],
        "volume": ["VolumeError", "predict_volume", "segment_volume"],
    }.items()
    for name in names
}
_LAZY_MODULES = ("fitting", "freezing", "plot", "testing", "training", "translation", "volume")


def __getattr__(name: str) -> _Any:
    if name in _LAZY_MODULES:
        return _importlib.import_module(f"shiftjax.{name}")
    if name in _LAZY:
        value = globals()[name] = getattr(_importlib.import_module(f"shiftjax.{_LAZY[name]}"), name)
        return value
    raise AttributeError(f"module `shiftjax` has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({name for name in globals() if not name.startswith("_")} | {*_LAZY, *_LAZY_MODULES})
