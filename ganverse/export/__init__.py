"""Textured meshes as files."""
