"""ganverse: image GANs meet differentiable rendering (GANverse3D, ICLR 2021), in the open."""

__version__ = "0.1.0"
