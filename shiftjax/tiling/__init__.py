"""Exact tile-and-stitch for any function that the certifier can read."""

from shiftjax.tiling.plan import TileOutput as TileOutput
from shiftjax.tiling.plan import TilePlan as TilePlan
from shiftjax.tiling.planner import plan_tiles as plan_tiles
from shiftjax.tiling.predict import predict_tiled as predict_tiled
