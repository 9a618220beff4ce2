"""`--version` of launch.py, lic_exp and analysis: the three are one version."""

from lic_exp import exit_codes
from lic_exp.saying import show

VERSION = "--version"


def show_version() -> int:
    """Print what runs here. Returns the exit code."""
    from lic_exp.runs.provenance import version_text  # nothing else of a start asks git

    show(version_text())
    return exit_codes.DONE
