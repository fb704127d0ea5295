"""Perceptual distance between pictures (L_percept of Eq. 1): LPIPS, with weights that need no download.

Two sets of AlexNet weights are known, tried in this order:
  "lpips"  Zhang et al. 2018 through the `lpips` package, if torchvision's AlexNet already lies in the torch hub cache;
  "stlpips" the shift-tolerant AlexNet of Ghildyal and Liu 2022, complete in the wheel of `stlpips-pytorch`. Only its
           weight file is read, by path; its code is never imported (it wants IPython and torchsummary).
Both give distances of the same scale, about 0.05 to 0.5 between pictures of one category.
"""

from __future__ import annotations

import importlib.util
import logging
import warnings
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from ganverse.errors import GanverseError

PerceptualSource = Literal["auto", "lpips", "stlpips"]

_LOG = logging.getLogger(__name__)
_ALEXNET_FILE = "alexnet-owt-7be5be79.pth"
_STLPIPS_FILE = Path("weights", "vST0.0", "alex_shift_tolerant.pth")


class PerceptualDistance(nn.Module):
    """Frozen LPIPS distance.

    source: which weights; "auto" takes the first that is there and says which in the log. Nothing is ever downloaded.
    stages: how many of AlexNet's five stages are compared, 1..5; fewer are cheaper (at 64 px the convolutions of
        all five cost three times those of the first).

    Never register it inside a module that is saved or trained in parallel: it belongs neither in checkpoints nor among
    DDP's parameters.

    Raises:
        GanverseError: the weights asked for are not on this machine, or stages is out of range.
    """

    def __init__(self, source: PerceptualSource = "auto", stages: int = 5) -> None:
        super().__init__()
        if not 1 <= stages <= 5:
            raise GanverseError(f"PerceptualDistance compares 1 to 5 stages, got {stages}: pass a number in between")
        self.source = choose_source(source)
        _LOG.info("perceptual distance: %s", self.source)
        self.network = _LpipsStages(stages) if self.source == "lpips" else ShiftTolerantAlexNet.packaged(stages)
        # Channels last nearly halves the time on a CPU.
        self.requires_grad_(False).eval().to(memory_format=torch.channels_last)

    def train(self, mode: bool = True) -> PerceptualDistance:
        """Stays in evaluation mode, whatever its owner does."""
        return super().train(False)

    def forward(
        self, first: Float[Tensor, "batch 3 height width"], second: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, " batch"]:
        """Distance per pair of pictures in [0, 1], at least about 32 pixels high and wide; 0 = equal."""
        scaled = ((picture * 2 - 1).contiguous(memory_format=torch.channels_last) for picture in (first, second))
        a, b = (self.network(picture) for picture in scaled)
        distance = first.new_zeros(len(first))
        for x, y, weight in zip(a, b, self.network.head_weights, strict=True):
            difference = (_unit(x) - _unit(y)).square()
            distance = distance + torch.einsum("bchw,c->b", difference, weight) / x[0, 0].numel()
        return distance


def choose_source(requested: PerceptualSource = "auto") -> Literal["lpips", "stlpips"]:
    """Which weights will be used; raises GanverseError if they are not on this machine."""
    there: dict[str, bool] = {"lpips": _alexnet_is_cached(), "stlpips": _stlpips_weights() is not None}
    if requested != "auto" and there[requested]:
        return requested
    if requested == "auto" and there["lpips"]:
        return "lpips"
    if requested == "auto" and there["stlpips"]:
        return "stlpips"
    raise GanverseError(
        f"expected perceptual weights '{requested}' on this machine, found none: `pip install stlpips-pytorch==0.0.2`,"
        f" or put torchvision's {_ALEXNET_FILE} into {Path(torch.hub.get_dir()) / 'checkpoints'}"
    )


def _alexnet_is_cached() -> bool:
    return (Path(torch.hub.get_dir()) / "checkpoints" / _ALEXNET_FILE).is_file()


def _stlpips_weights() -> Path | None:
    # find_spec locates a top-level package without running it, which `importlib.resources.files` would do.
    spec = importlib.util.find_spec("stlpips_pytorch")
    folders = [] if spec is None or spec.submodule_search_locations is None else spec.submodule_search_locations
    found = [path for path in (Path(folder) / _STLPIPS_FILE for folder in folders) if path.is_file()]
    return found[0] if found else None


def _unit(features: Float[Tensor, "batch c h w"]) -> Float[Tensor, "batch c h w"]:
    # The small constant keeps the gradient finite where all features of a place are zero.
    return features * (features.square().sum(dim=1, keepdim=True) + 1e-10).rsqrt()


class ShiftTolerantAlexNet(nn.Module):
    """AlexNet with a dense first convolution and blurred sub-sampling (ST-LPIPS), cut into LPIPS' stages.

    `forward` takes pictures in [-1, 1] and gives the features after the ReLU of each of the first `stages` stages.
    """

    shift: Tensor
    scale: Tensor
    _CONVOLUTIONS = ("slice1.0", "slice2.5", "slice3.9", "slice4.11", "slice5.13")
    _PADDING = (2, 2, 1, 1, 1)

    def __init__(self, weights: dict[str, Tensor], stages: int = 5) -> None:
        super().__init__()
        self.stages = stages
        self.convolutions = nn.ModuleList()
        for name, padding in zip(self._CONVOLUTIONS[:stages], self._PADDING[:stages], strict=True):
            weight, bias = weights[f"net.{name}.weight"], weights[f"net.{name}.bias"]
            out_channels, in_channels, size, _ = weight.shape
            convolution = nn.Conv2d(in_channels, out_channels, size, padding=padding)
            convolution.load_state_dict({"weight": weight, "bias": bias})
            self.convolutions.append(convolution)
        self.register_buffer("shift", weights["scaling_layer.shift"])
        self.register_buffer("scale", weights["scaling_layer.scale"])
        for i in range(stages):
            self.register_buffer(f"head{i}", weights[f"lin{i}.model.1.weight"].flatten())

    @classmethod
    def packaged(cls, stages: int = 5) -> ShiftTolerantAlexNet:
        """With the weights inside the wheel of `stlpips-pytorch`."""
        path = _stlpips_weights()
        if path is None:
            raise GanverseError(
                "expected the package stlpips-pytorch, found none: `pip install stlpips-pytorch==0.0.2`"
            )
        return cls(torch.load(path, map_location="cpu", weights_only=True), stages)

    @property
    def head_weights(self) -> list[Tensor]:
        """Non-negative weight of every channel, per stage."""
        return [getattr(self, f"head{i}") for i in range(self.stages)]

    def forward(self, picture: Float[Tensor, "batch 3 height width"]) -> list[Tensor]:
        x = (picture - self.shift) / self.scale
        features = []
        for index, convolution in enumerate(self.convolutions):
            if index in (1, 2):
                x = _blur_down(functional.max_pool2d(x, 3, stride=1))
            x = convolution(x)
            x = functional.relu(_blur_down(x) if index == 0 else x)
            features.append(x)
        return features


def _blur_down(x: Float[Tensor, "batch c h w"]) -> Float[Tensor, "batch c half_h half_w"]:
    """Binomial 3 x 3 blur and every second pixel; two pixels of reflected border, as the weights were trained."""
    row = x.new_tensor([0.25, 0.5, 0.25])
    kernel = (row[:, None] * row).expand(x.shape[1], 1, 3, 3)
    return functional.conv2d(functional.pad(x, (2, 2, 2, 2), mode="reflect"), kernel, stride=2, groups=x.shape[1])


class _LpipsStages(nn.Module):
    """The same interface over the `lpips` package."""

    def __init__(self, stages: int, *, random_backbone: bool = False) -> None:
        super().__init__()
        import lpips

        with warnings.catch_warnings():
            # lpips 0.1.4 still passes torchvision's deprecated `pretrained`.
            warnings.filterwarnings("ignore", message=".*(pretrained|weight enum).*", category=UserWarning)
            model = lpips.LPIPS(net="alex", verbose=False, pnet_rand=random_backbone)
        self.scaling, self.backbone, self.stages = model.scaling_layer, model.net, stages
        self.heads = [model.lins[i].model[-1] for i in range(stages)]

    @property
    def head_weights(self) -> list[Tensor]:
        return [head.weight.flatten() for head in self.heads]

    def forward(self, picture: Float[Tensor, "batch 3 height width"]) -> list[Tensor]:
        return list(self.backbone(self.scaling(picture)))[: self.stages]
