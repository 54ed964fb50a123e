"""Exact tile-and-stitch for any function that the certifier can read."""

from shiftjax.tiling._padding import PADS as PADS
from shiftjax.tiling._padding import read_window as read_window
from shiftjax.tiling._pipeline import check_function as check_function
from shiftjax.tiling._pipeline import stream as run_tiles  # noqa: F401
from shiftjax.tiling._plan import Place as TileIndex  # noqa: F401
from shiftjax.tiling._plan import TileOutput as TileOutput
from shiftjax.tiling._plan import TilePlan as TilePlan
from shiftjax.tiling._planner import plan_tiles as plan_tiles
from shiftjax.tiling._predict import predict_tiled as predict_tiled
