"""Trains: `python train.py fit --config FILE.yaml` (LightningCLI), or all stages of the demo (see --help)."""

import sys

from ganverse.cli import train

if __name__ == "__main__":
    sys.exit(train(sys.argv[1:]))
