"""Evaluates the shipped weights, `--run runs/NAME`, or `--checkpoint X --data Y` (see --help)."""

import sys

from ganverse.cli import evaluate

if __name__ == "__main__":
    sys.exit(evaluate(sys.argv[1:]))
