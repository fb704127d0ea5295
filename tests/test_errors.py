from __future__ import annotations

import pytest
import torch

from ganverse.errors import brief


def test_a_library_s_long_complaint_becomes_one_line_that_still_says_what_is_wrong():
    with pytest.raises(RuntimeError) as caught:
        torch.nn.Linear(2, 2).load_state_dict({})
    assert brief(caught.value).endswith('for Linear: Missing key(s) in state_dict: "weight", "bias".')


def test_short_and_empty_complaints_stay_what_they_are():
    assert brief(ValueError("no such number")) == "no such number"
    assert brief(KeyError()) == ""
