"""What is read: arrays in files and stores, what their axes are, and in which form."""
