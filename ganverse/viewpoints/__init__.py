"""View codes of image GANs: their file, finding and annotating them, and mixing styles with them."""

from typing import TYPE_CHECKING

from ganverse._lazy import lazy_exports

if TYPE_CHECKING:
    from ganverse.viewpoints.automatic import find_automatic_views
    from ganverse.viewpoints.directions import ContentDirections, open_views
    from ganverse.viewpoints.pose_regressor import PoseReading, PoseRegressor
    from ganverse.viewpoints.proposal import propose_view_codes
    from ganverse.viewpoints.view_codes import ViewCode, ViewCodes, layer_dims, mix_styles, view_latents, view_styles

__getattr__, __dir__, __all__ = lazy_exports(__name__, __file__)
