"""Volumes larger than memory, tile by tile from storage to storage: Zarr, OME-Zarr and TIFF, local or remote."""

from shiftjax.volume.embedding import Recompute as Recompute
from shiftjax.volume.errors import VolumeError as VolumeError
from shiftjax.volume.intensity import normalize as normalize
from shiftjax.volume.predict import predict_volume as predict_volume
from shiftjax.volume.segment import Segmented as Segmented
from shiftjax.volume.segment import segment_volume as segment_volume
from shiftjax.volume.source import Source as Source
from shiftjax.volume.source import open_source as open_source
from shiftjax.volume.target import open_prediction as open_prediction
