"""Trains: `python train.py` runs every stage, `python train.py inverse --config FILE.yaml` one of them (see --help)."""

import sys

from ganverse.cli import train

if __name__ == "__main__":
    sys.exit(train(sys.argv[1:]))
