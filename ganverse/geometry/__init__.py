"""Cameras, meshes and their regularity. This package owns every frame convention (docs/conventions.md)."""
