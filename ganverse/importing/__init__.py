"""Weights of image GANs that were trained elsewhere, read without executing anything that a file says."""
