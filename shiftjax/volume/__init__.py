"""Volumes larger than memory, tile by tile from storage to storage: Zarr, OME-Zarr and TIFF, local or remote."""

from shiftjax.volume._jobs.cluster import Cluster as Cluster
from shiftjax.volume._normalize import normalize as normalize
from shiftjax.volume._predict import predict_volume as predict_volume
from shiftjax.volume._segment import Segmented as Segmented
from shiftjax.volume._segment import segment_volume as segment_volume
from shiftjax.volume._segmentation.embedding import Recompute as Recompute
from shiftjax.volume._sources.opening import open_source as open_source
from shiftjax.volume._sources.source import Source as Source
from shiftjax.volume._storage.errors import VolumeError as VolumeError
from shiftjax.volume._targets.new_target import NewTarget as NewTarget
from shiftjax.volume._targets.new_target import new_target as new_target
from shiftjax.volume._targets.target import open_prediction as open_prediction
