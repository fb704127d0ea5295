import torch
import torch.nn.functional as F

from ganverse.generators.filters import blur, upsample


def test_upsampling_is_bilinear_inside() -> None:
    x = torch.randn(2, 3, 6, 5)
    bilinear = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
    torch.testing.assert_close(upsample(x)[:, :, 1:-1, 1:-1], bilinear[:, :, 1:-1, 1:-1])
    assert upsample(torch.ones(1, 1, 4, 4))[0, 0, 0, 0] == 0.75**2


def test_blur_keeps_the_mean_inside() -> None:
    assert torch.equal(blur(torch.ones(1, 2, 5, 5), (1.0, 2.0, 1.0))[:, :, 1:-1, 1:-1], torch.ones(1, 2, 3, 3))
    assert blur(torch.ones(1, 2, 5, 5), (1.0, 3.0, 3.0, 1.0)).shape == (1, 2, 4, 4)
