"""The procedural car world: parametric cars with 3D truth, rendered into pictures with masks and cameras."""
