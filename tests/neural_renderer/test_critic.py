import math

import torch
from torch import nn

from ganverse.inverse.perceptual import PerceptualDistance
from ganverse.neural_renderer.critic import Critic, CriticSettings, critic_loss, game, looked_at, make_critic


class PlainNetwork(nn.Module):
    """Two stages of random features."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, padding=1)
        self.second = nn.Conv2d(6, 8, 3, stride=2, padding=1)
        self.head_weights = [torch.ones(6), torch.ones(8)]

    def forward(self, picture: torch.Tensor) -> list[torch.Tensor]:
        fine = self.first(picture).relu()
        return [fine, self.second(fine).relu()]


class PlainEyes(PerceptualDistance):
    """Stands in for AlexNet, which wants larger pictures."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        torch.manual_seed(0)
        self.network = PlainNetwork()
        self.requires_grad_(False)


def players() -> tuple[Critic, PlainEyes, torch.Tensor, torch.Tensor]:
    eyes = PlainEyes()
    source = torch.Generator().manual_seed(1)
    real, fake = torch.rand(4, 3, 8, 8, generator=source), 0.5 * torch.rand(6, 3, 8, 8, generator=source)
    return make_critic(eyes, CriticSettings(width=8)), eyes, real, fake


def test_features_have_mean_square_one_and_the_critic_answers_at_every_place() -> None:
    critic, eyes, real, _ = players()
    seen = looked_at(eyes, real)
    lengths = torch.cat([stage.square().mean(dim=1).flatten() for stage in seen])
    assert (lengths - 1).abs()[lengths > 0].max() < 1e-4
    assert [tuple(logits.shape) for logits in critic(seen)] == [(4, 1, 8, 8), (4, 1, 4, 4)]


def test_neither_player_moves_the_other() -> None:
    critic, eyes, real, fake = players()
    fake.requires_grad_()
    painter, judged = game(critic, eyes, real, fake, penalty=0.1)
    assert painter.shape == (6,)
    assert judged.shape == (4,)
    painter.mean().backward(retain_graph=True)
    assert fake.grad.abs().sum() > 0
    assert all(p.grad is None for p in critic.parameters())
    fake.grad = None
    judged.mean().backward()
    assert fake.grad is None
    assert all(p.grad is not None for p in critic.parameters())


def test_a_silent_critic_knows_nothing() -> None:
    critic, eyes, real, fake = players()
    [p.data.zero_() for p in critic.parameters()]
    painter, judged = game(critic, eyes, real, fake, penalty=0.1)
    assert torch.allclose(painter, torch.full((6,), math.log(2)))
    assert torch.allclose(judged, torch.full((4,), 2 * math.log(2)))


def test_the_critic_learns_to_tell_and_the_painter_to_please() -> None:
    critic, eyes, real, fake = players()
    optimizer = torch.optim.Adam(critic.parameters(), lr=1e-2)
    for _ in range(120):
        painter, judged = game(critic, eyes, real, fake, penalty=0.0)
        optimizer.zero_grad()
        judged.mean().backward()
        optimizer.step()
    assert judged.mean() < 0.5 * 2 * math.log(2)
    assert painter.mean() > 1.5 * math.log(2)
    picture = fake.clone().requires_grad_()
    (slope,) = torch.autograd.grad(game(critic, eyes, real, picture, 0.0)[0].sum(), picture)
    better = game(critic, eyes, real, fake - 0.02 * slope / slope.abs().max(), 0.0)[0]
    assert better.sum() < painter.sum()


def test_the_penalty_is_the_squared_slope_at_real_pictures() -> None:
    critic, eyes, real, fake = players()
    seen, painted = looked_at(eyes, real), looked_at(eyes, fake)
    free, held = (critic_loss(critic, seen, painted, penalty) for penalty in (0.0, 2.0))
    shown = [stage.clone().requires_grad_() for stage in seen]
    slopes = torch.autograd.grad(sum(stage.sum() for stage in critic(shown)), shown)
    expected = torch.stack([slope.square().sum(dim=1).mean(dim=(1, 2)) for slope in slopes]).mean(dim=0)
    assert torch.allclose(held - free, expected, atol=1e-6)
