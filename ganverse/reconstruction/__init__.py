"""Photos to textured meshes (`Reconstructor`) and to scenes of StyleGAN-R (`Editor`)."""

from typing import TYPE_CHECKING

from ganverse._lazy import lazy_exports

if TYPE_CHECKING:
    from ganverse.reconstruction.editor import EditedPhoto, Editor
    from ganverse.reconstruction.photos import Photo
    from ganverse.reconstruction.reconstructor import ReconstructedObject, Reconstructor
    from ganverse.reconstruction.refinement import RefinementSettings

__getattr__, __dir__, __all__ = lazy_exports(__name__, __file__)
