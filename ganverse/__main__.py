"""`python -m ganverse`."""

import sys

from ganverse.cli import main

if __name__ == "__main__":
    sys.exit(main())
