"""What a pass of DIB-R's Warp kernels reads and writes: the tensors behind the arrays of `warp_work.Work`."""

from typing import NamedTuple

from jaxtyping import Bool, Float, Int32, Int64
from torch import Tensor


class Buffers(NamedTuple):
    """The tensors of a pass. An absent one leaves a step out: without depth the index is given and nothing drawn,
    without mask there is no rim, without a gradient nothing is pulled.

    states: see `warp_silhouette_kernels`. strange: 1 where a position is not finite, 0 at first. marks: the faces near
    each tile of an image, a bit each. lists, counts, reach: see `warp_nearest_kernels`.
    """

    corners: Float[Tensor, "b f 3 2"]
    face_index: Int64[Tensor, "b h w"]
    z: Float[Tensor, "b f 3"] | None = None
    values: Float[Tensor, "b f 3 d"] | None = None
    drawn: Bool[Tensor, "b f"] | None = None
    slopes: Float[Tensor, "b f 2 d"] | None = None
    depth: Float[Tensor, "b h w"] | None = None
    features: Float[Tensor, "b h w d"] | None = None
    states: Int32[Tensor, "b h w"] | None = None
    mask: Float[Tensor, "b h w"] | None = None
    strange: Int32[Tensor, " b"] | None = None
    marks: Int32[Tensor, "b tiles words"] | None = None
    lists: Int64[Tensor, "b h w knum"] | None = None
    counts: Int32[Tensor, "b h w"] | None = None
    reach: Int64[Tensor, "b h w"] | None = None
    grad_features: Float[Tensor, "b h w d"] | None = None
    grad_mask: Float[Tensor, "b h w"] | None = None
    grad_corners: Float[Tensor, "b f 3 2"] | None = None
    grad_values: Float[Tensor, "b f 3 d"] | None = None

    def part(self, images: slice) -> "Buffers":
        """Those of some of the images."""
        return Buffers._make(None if tensor is None else tensor[images] for tensor in self)
