import math

import torch

from ganverse.neural_renderer.fusion import StyleFusion


def test_weights_sum_to_one_and_start_even() -> None:
    fusion = StyleFusion(7)
    assert torch.allclose(fusion.weights, torch.full((3, 7), 1 / 3))
    fusion.logits.data.normal_(std=5.0)
    assert torch.allclose(fusion.weights.sum(dim=0), torch.ones(7))
    assert torch.allclose(fusion.shares().sum(), torch.tensor(1.0))


def test_minimizing_the_entropy_ends_one_hot() -> None:
    torch.manual_seed(0)
    fusion = StyleFusion(20)
    assert torch.allclose(fusion.entropy(), torch.full((20,), math.log(3)))
    fusion.logits.data.normal_(std=0.1)
    winners = fusion.logits.argmax(dim=0)
    optimizer = torch.optim.Adam(fusion.parameters(), lr=0.1)
    for _ in range(200):
        optimizer.zero_grad()
        fusion.entropy().sum().backward()
        optimizer.step()
    assert fusion.weights.amax(dim=0).min() > 0.98
    assert torch.equal(fusion.logits.argmax(dim=0), winners)


def test_one_hot_dimension_takes_one_source_only() -> None:
    fusion = StyleFusion(3)
    fusion.logits.data = torch.eye(3) * 100
    sources = [torch.full((2, 3), float(i)) for i in range(3)]
    assert torch.allclose(fusion(*sources), torch.tensor([[0.0, 1.0, 2.0]] * 2))


def test_each_dimension_finds_the_source_that_explains_it() -> None:
    torch.manual_seed(0)
    fusion = StyleFusion(6)
    shape, texture, background = torch.randn(3, 64, 6).unbind()
    target = torch.cat([shape[:, :2], texture[:, 2:4], background[:, 4:]], dim=1)
    optimizer = torch.optim.Adam(fusion.parameters(), lr=0.05)
    for _ in range(150):
        optimizer.zero_grad()
        loss = (fusion(shape, texture, background) - target).square().mean() + 0.1 * fusion.entropy().mean()
        loss.backward()
        optimizer.step()
    assert fusion.logits.argmax(dim=0).tolist() == [0, 0, 1, 1, 2, 2]
    assert fusion.weights.amax(dim=0).min() > 0.9
