"""Perceptual distance between images (L_percept of Eq. 1): LPIPS (Zhang et al. 2018) with named weights."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from ganverse.errors import GanverseError, check_ranges

PerceptualWeights = Literal["stlpips", "lpips-alex", "lpips-vgg"]
"""stlpips: the shift-tolerant AlexNet of Ghildyal and Liu 2022, part of the `stlpips-pytorch` wheel.
lpips-alex, lpips-vgg: of the `lpips` package; need torchvision's AlexNet or VGG-16 in the torch hub cache.
All distances have the same scale, about 0.05 to 0.5 between images of one category."""

SMALLEST = 24
"""Minimum image size in pixels; smaller images vanish in five stages."""
_STLPIPS_FILE = Path("weights", "vST0.0", "alex_shift_tolerant.pth")
_TORCHVISION_FILES = {"lpips-alex": "alexnet-owt-7be5be79.pth", "lpips-vgg": "vgg16-397923af.pth"}


class PerceptualDistance(nn.Module):
    """Frozen LPIPS distance. Never downloads anything.

    Keep it out of modules that are saved or trained with DDP.

    Args:
        weights: name of the weights.
        stages: number of compared stages, 1 to 5. At 64 px all five cost three times the first one.

    Raises:
        GanverseError: the weights are not on this machine, or stages is out of range.
    """

    def __init__(self, weights: PerceptualWeights = "stlpips", stages: int = 5) -> None:
        super().__init__()
        check_ranges({"stages": stages}, stages=(1, 5))
        _require(weights)
        self.name = f"{weights}-{stages}"
        if weights == "stlpips":
            self._compare_with(*_stlpips(stages))
        else:
            self._compare_with(*_lpips(weights, stages))

    def _compare_with(self, network: nn.Module, heads: Sequence[Float[Tensor, " _"]]) -> None:
        """Sets the feature network and the non-negative channel weights of every stage."""
        self.network, self.stages = network, len(heads)
        for stage, head in enumerate(heads):
            self.register_buffer(f"head{stage}", head)
        # Channels-last nearly halves the time on a CPU.
        self.requires_grad_(False).eval().to(memory_format=torch.channels_last)

    def train(self, mode: bool = True) -> PerceptualDistance:
        """Stays in eval mode."""
        return super().train(False)

    def forward(
        self, first: Float[Tensor, "batch 3 height width"], second: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, " batch"]:
        """Distance per pair of images in [0, 1]; 0 = equal.

        Raises:
            GanverseError: images below 24 px.
        """
        check_size(min(first.shape[-2:]))
        scaled = ((image * 2 - 1).contiguous(memory_format=torch.channels_last) for image in (first, second))
        a, b = (self.network(image) for image in scaled)
        distance = first.new_zeros(len(first))
        for stage in range(self.stages):
            x, y = a[stage], b[stage]
            difference = (_unit(x) - _unit(y)).square()
            head: Tensor = getattr(self, f"head{stage}")
            distance = distance + torch.einsum("bchw,c->b", difference, head) / x[0, 0].numel()
        return distance


def check_size(side: int, weight: str = "the weight of the perceptual loss") -> None:
    """GanverseError if images are too small to compare; weight: setting that disables the comparison."""
    if side < SMALLEST:
        raise GanverseError(
            f"expected images of at least {SMALLEST} px for the perceptual distance, got {side}; set {weight} to 0"
        )


def available_weights() -> list[PerceptualWeights]:
    """Names of the weights on this machine."""
    return [weights for weights in get_args(PerceptualWeights) if _file_of(weights).is_file()]


def _require(weights: PerceptualWeights) -> None:
    if not _file_of(weights).is_file():
        remedy = "pip install stlpips-pytorch==0.0.2" if weights == "stlpips" else "put torchvision's weights there"
        raise GanverseError(f"expected the perceptual weights {weights} at {_file_of(weights)}, found none; {remedy}")


def _file_of(weights: PerceptualWeights) -> Path:
    if weights != "stlpips":
        return Path(torch.hub.get_dir()) / "checkpoints" / _TORCHVISION_FILES[weights]
    # find_spec locates the package without importing it, which would require IPython and torchsummary.
    spec = importlib.util.find_spec("stlpips_pytorch")
    folders = [] if spec is None or spec.submodule_search_locations is None else spec.submodule_search_locations
    return Path(next(iter(folders), "stlpips_pytorch")) / _STLPIPS_FILE


def _unit(features: Float[Tensor, "batch c h w"]) -> Float[Tensor, "batch c h w"]:
    # The small constant keeps gradients finite where all features are zero.
    return features * (features.square().sum(dim=1, keepdim=True) + 1e-10).rsqrt()


def _stlpips(stages: int) -> tuple[nn.Module, list[Float[Tensor, " _"]]]:
    weights = torch.load(_file_of("stlpips"), map_location="cpu", weights_only=True)
    heads = [weights[f"lin{stage}.model.1.weight"].flatten() for stage in range(stages)]
    return ShiftTolerantAlexNet(weights, stages), heads


def _lpips(
    weights: PerceptualWeights, stages: int, *, random_backbone: bool = False
) -> tuple[nn.Module, list[Float[Tensor, " _"]]]:
    import lpips

    with warnings.catch_warnings():
        # lpips 0.1.4 still passes torchvision's deprecated `pretrained`.
        warnings.filterwarnings("ignore", message=".*(pretrained|weight enum).*", category=UserWarning)
        model = lpips.LPIPS(net=weights.removeprefix("lpips-"), verbose=False, pnet_rand=random_backbone)
    heads = [model.lins[stage].model[-1].weight.detach().flatten() for stage in range(stages)]
    return nn.Sequential(model.scaling_layer, model.net), heads


class ShiftTolerantAlexNet(nn.Module):
    """AlexNet with a dense first convolution and blurred downsampling (ST-LPIPS), split into LPIPS stages.

    `forward` takes images in [-1, 1] and returns the features after the ReLU of each of the first `stages` stages.
    """

    shift: Tensor
    scale: Tensor
    blur: Tensor
    _CONVOLUTIONS = ("slice1.0", "slice2.5", "slice3.9", "slice4.11", "slice5.13")
    _PADDING = (2, 2, 1, 1, 1)

    def __init__(self, weights: dict[str, Tensor], stages: int = 5) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList()
        for name, padding in zip(self._CONVOLUTIONS[:stages], self._PADDING[:stages], strict=True):
            weight, bias = weights[f"net.{name}.weight"], weights[f"net.{name}.bias"]
            out_channels, in_channels, size, _ = weight.shape
            convolution = nn.Conv2d(in_channels, out_channels, size, padding=padding)
            convolution.load_state_dict({"weight": weight, "bias": bias})
            self.convolutions.append(convolution)
        self.register_buffer("shift", weights["scaling_layer.shift"])
        self.register_buffer("scale", weights["scaling_layer.scale"])
        row = torch.tensor([0.25, 0.5, 0.25])
        self.register_buffer("blur", row[:, None] * row)

    def forward(self, image: Float[Tensor, "batch 3 height width"]) -> list[Tensor]:
        x = (image - self.shift) / self.scale
        features = []
        for index, convolution in enumerate(self.convolutions):
            if index in (1, 2):
                x = self._blur_down(functional.max_pool2d(x, 3, stride=1))
            x = convolution(x)
            x = functional.relu(self._blur_down(x) if index == 0 else x)
            features.append(x)
        return features

    def _blur_down(self, x: Float[Tensor, "batch c h w"]) -> Float[Tensor, "batch c half_h half_w"]:
        """Binomial 3 x 3 blur and every second pixel, with a reflected border of two pixels as in training."""
        kernel = self.blur.to(x.dtype).expand(x.shape[1], 1, 3, 3)
        return functional.conv2d(functional.pad(x, (2, 2, 2, 2), mode="reflect"), kernel, stride=2, groups=x.shape[1])
