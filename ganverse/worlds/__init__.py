"""The procedural car world: parametric cars with 3D truth, rendered to images with masks and cameras."""
