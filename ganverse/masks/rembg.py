"""Masks of any category by rembg: U2-Net (Qin et al. 2020), which segments the salient object."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor

from ganverse.errors import GanverseError
from ganverse.io import from_bytes, to_pil
from ganverse.masks.masker import Masks, separate_instances

MODEL = "u2net"
"""Apache-2.0. The license of rembg's default, bria-rmbg, excludes commercial use."""


class Rembg:
    """A `Masker` for the salient object. session: from rembg; its `predict` maps a PIL image to a list of masks."""

    def __init__(self, session: Any, *, name: str = "rembg") -> None:
        self.session, self.name = session, name

    @classmethod
    def from_pretrained(cls, model: str = MODEL) -> Rembg:
        """A rembg model by name; rembg downloads it once (u2net: 176 MB).

        Raises:
            GanverseError: rembg is not installed, does not know the model, or cannot download it.
        """
        try:
            from rembg import new_session
        except ImportError as error:
            raise GanverseError(
                f"expected rembg to be installed, but importing it failed ({error}); pip install 'ganverse[rembg]'"
            ) from error
        try:
            return cls(new_session(model), name=f"rembg {model}")
        except (ValueError, OSError) as error:
            raise GanverseError(
                f"expected rembg to load its model {model}, but that failed ({error}); put {model}.onnx into "
                f"~/.rembg/models/{model} by hand, or use another source of masks"
            ) from error

    @torch.no_grad()
    def __call__(self, images: Float[Tensor, "batch 3 height width"]) -> Masks:
        """Masks of images in [0, 1]."""
        found = [from_bytes(pil_to_tensor(self.session.predict(to_pil(image))[0].convert("L"))) for image in images]
        return separate_instances(torch.stack(found).to(images.device))
