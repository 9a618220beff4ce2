"""Compose, validate and run an experiment: `python launch.py --help`."""

import sys

from lic_exp.launching.main import main

if __name__ == "__main__":
    sys.exit(main())
