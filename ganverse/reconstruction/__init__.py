"""Photos to textured meshes (`Reconstructor`) and to scenes of StyleGAN-R (`Editor`)."""

from typing import TYPE_CHECKING

from ganverse._lazy import lazy_exports

if TYPE_CHECKING:
    from ganverse.reconstruction.editor import EditedPhoto as EditedPhoto
    from ganverse.reconstruction.editor import Editor as Editor
    from ganverse.reconstruction.photos import Photo as Photo
    from ganverse.reconstruction.reconstructor import ReconstructedObject as ReconstructedObject
    from ganverse.reconstruction.reconstructor import Reconstructor as Reconstructor
    from ganverse.reconstruction.refinement import RefinementSettings as RefinementSettings

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "EditedPhoto": "ganverse.reconstruction.editor",
        "Editor": "ganverse.reconstruction.editor",
        "Photo": "ganverse.reconstruction.photos",
        "ReconstructedObject": "ganverse.reconstruction.reconstructor",
        "Reconstructor": "ganverse.reconstruction.reconstructor",
        "RefinementSettings": "ganverse.reconstruction.refinement",
    },
)
