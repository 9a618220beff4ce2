"""Compose, validate and run an experiment: `python launch.py --help`."""

import gc

# Start-up makes many objects that all stay: collecting among them would cost a tenth of it. A run turns it on again.
gc.disable()

import sys  # noqa: E402

from lic_exp.cli.launch import main  # noqa: E402

if __name__ == "__main__":
    code = main()
    # The interpreter would look through all that is there once more before it ends: a seventh of what a refusal costs.
    if "torch" not in sys.modules:  # whose bindings report what is frozen as leaked
        gc.freeze()
    sys.exit(code)
