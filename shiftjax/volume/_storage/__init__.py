"""Storage: where the pixels of a volume come from and go to, and what is remembered about them."""
