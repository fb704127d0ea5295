"""Photos to textured meshes: `Reconstructor.open()("photo.jpg").save("car.glb")`."""

from ganverse.reconstruction.reconstructor import ReconstructedObject, Reconstructor

__all__ = ["ReconstructedObject", "Reconstructor"]
