"""Which term of a loss, which gradient or which weight is not finite."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class TermFinding:
    """One term of a loss: its mean value, and the parameters whose gradient of it is not finite."""

    term: str
    value: float
    bad_gradients: tuple[str, ...]

    @property
    def sound(self) -> bool:
        """Whether value and gradients are finite."""
        return math.isfinite(self.value) and not self.bad_gradients


def examine(task: nn.Module, terms: Mapping[str, Tensor]) -> list[TermFinding]:
    """Every term on its own; terms of one graph, un-reduced or not."""
    named = {name: parameter for name, parameter in task.named_parameters() if parameter.requires_grad}
    return [TermFinding(name, float(term.detach().mean()), _bad(term.mean(), named)) for name, term in terms.items()]


def _bad(term: Tensor, named: Mapping[str, nn.Parameter]) -> tuple[str, ...]:
    if not term.requires_grad:
        return ()
    gradients = torch.autograd.grad(term, list(named.values()), retain_graph=True, allow_unused=True)
    pairs = zip(named, gradients, strict=True)
    return tuple(name for name, gradient in pairs if gradient is not None and not gradient.isfinite().all())


def bad_weights(task: nn.Module) -> tuple[str, ...]:
    """Names of the weights that are not finite themselves."""
    return tuple(
        name for name, value in task.state_dict().items() if value.is_floating_point() and not value.isfinite().all()
    )
