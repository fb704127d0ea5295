import torch

from ganverse.io import from_bytes, quantize, to_bytes


def test_bytes_round_trip_exactly() -> None:
    pixels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_bytes(from_bytes(pixels)), pixels)


def test_quantizing_moves_a_pixel_by_half_a_step_at_most_and_only_once() -> None:
    images = torch.rand(2, 3, 8, 8)
    once = quantize(images)
    assert (once - images).abs().max() <= 0.5 / 255 + 1e-6
    assert torch.equal(quantize(once), once)
    assert quantize(torch.tensor([-1.0, 2.0])).tolist() == [0, 1]
