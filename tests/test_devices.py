from __future__ import annotations

from argparse import ArgumentParser

import pytest
import torch

from ganverse.devices import add_device_option, default_device, device_of, find_device
from ganverse.errors import GanverseError


def test_a_gpu_is_the_default_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for available, kind in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr("torch.cuda.is_available", lambda available=available: available)
        assert default_device().type == kind
        assert (find_device(None).type == kind) is True


def test_the_option_of_a_command() -> None:
    parser = ArgumentParser()
    add_device_option(parser)
    assert parser.parse_args([]).device is None
    assert find_device(parser.parse_args(["--device", "cpu"]).device) == torch.device("cpu")


@pytest.mark.parametrize("name", ["toaster", "cuda:99", "cpu:x", ""])
def test_devices_that_are_not_there(name: str) -> None:
    with pytest.raises(GanverseError, match="--device cpu or a GPU"):
        find_device(name)


def test_where_a_network_lies() -> None:
    assert device_of(torch.nn.Linear(2, 2, device="meta")) == torch.device("meta")
    assert device_of(object()) == device_of(torch.nn.ReLU()) == torch.device("cpu")
