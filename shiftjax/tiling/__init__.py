"""Exact tile-and-stitch for any function that the certifier can read."""

from shiftjax.tiling._plan import TileOutput as TileOutput
from shiftjax.tiling._plan import TilePlan as TilePlan
from shiftjax.tiling._planner import plan_tiles as plan_tiles
from shiftjax.tiling._predict import predict_tiled as predict_tiled
