"""The command lines. A command's module has `arguments(parser)` and `run(options) -> int`, the exit code."""
