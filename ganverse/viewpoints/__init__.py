"""View codes of image GANs: their file, how they are found and annotated, and how styles are mixed with them."""

from typing import TYPE_CHECKING

from ganverse._lazy import lazy_exports

if TYPE_CHECKING:
    from ganverse.viewpoints.automatic import find_automatic_views as find_automatic_views
    from ganverse.viewpoints.directions import ContentDirections as ContentDirections
    from ganverse.viewpoints.directions import open_views as open_views
    from ganverse.viewpoints.pose_regressor import PoseReading as PoseReading
    from ganverse.viewpoints.pose_regressor import PoseRegressor as PoseRegressor
    from ganverse.viewpoints.proposal import propose_view_codes as propose_view_codes
    from ganverse.viewpoints.view_codes import ViewCode as ViewCode
    from ganverse.viewpoints.view_codes import ViewCodes as ViewCodes
    from ganverse.viewpoints.view_codes import layer_dims as layer_dims
    from ganverse.viewpoints.view_codes import mix_styles as mix_styles
    from ganverse.viewpoints.view_codes import view_latents as view_latents
    from ganverse.viewpoints.view_codes import view_styles as view_styles

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "ContentDirections": "ganverse.viewpoints.directions",
        "PoseReading": "ganverse.viewpoints.pose_regressor",
        "PoseRegressor": "ganverse.viewpoints.pose_regressor",
        "ViewCode": "ganverse.viewpoints.view_codes",
        "ViewCodes": "ganverse.viewpoints.view_codes",
        "find_automatic_views": "ganverse.viewpoints.automatic",
        "layer_dims": "ganverse.viewpoints.view_codes",
        "mix_styles": "ganverse.viewpoints.view_codes",
        "open_views": "ganverse.viewpoints.directions",
        "propose_view_codes": "ganverse.viewpoints.proposal",
        "view_latents": "ganverse.viewpoints.view_codes",
        "view_styles": "ganverse.viewpoints.view_codes",
    },
)
