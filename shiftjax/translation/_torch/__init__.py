"""PyTorch's modules: exported for each image shape, and their operations evaluated in JAX."""
