"""Witnesses: images that show that a certificate's period is the smallest and its receptive field is attained."""
