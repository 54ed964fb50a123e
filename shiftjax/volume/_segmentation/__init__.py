"""Segmentation: from the embedding of a volume to its objects."""
