"""The parts of `benchmarks/accelerator.py`, one question per file."""
