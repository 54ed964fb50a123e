"""Command lines: each module has `arguments(parser)` and `run(options) -> int`."""
