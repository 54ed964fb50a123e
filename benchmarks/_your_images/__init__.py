"""The parts of `benchmarks/your_images.py`: images, and what `fit` is compared with."""
