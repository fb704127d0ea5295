"""Starting Warp without a word."""

import os

import torch
import warp as wp


def start_quietly() -> None:
    """Start Warp without its greeting and, where torch sees no GPU, without its complaint that there is none."""
    if wp.config.log_level == wp.LOG_INFO:
        wp.config.log_level = wp.LOG_WARNING
    if torch.cuda.is_available():
        wp.init()
        return
    stderr = os.dup(2)  # the complaint is printed by Warp's C++ code
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        wp.init()
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
