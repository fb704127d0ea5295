"""How torch.compile sees the renderer: as one opaque step between two graphs."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
R = TypeVar("R")


def opaque(function: Callable[P, R]) -> Callable[P, R]:
    """The same function, which torch.compile calls instead of looking inside (kernels and checks cannot be traced)."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if torch.compiler.is_dynamo_compiling():
            # Only here, because decorating with it at once would import the whole compiler with the renderer.
            opaque_function: Callable[P, R] = torch.compiler.disable(function)
            return opaque_function(*args, **kwargs)
        return function(*args, **kwargs)

    return call
