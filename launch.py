"""Compose, validate and run an experiment: `python launch.py --help`."""

import gc

# Start-up makes many objects that all stay: collecting among them would cost a tenth of it. A run turns it on again.
gc.disable()

import sys  # noqa: E402

from lic_exp.launching.main import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
