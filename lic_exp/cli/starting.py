"""Starting a run from a command, and saying what came of it."""

import sys
from typing import Any

from lic_exp import exit_codes
from lic_exp.config.errors import ConfigError
from lic_exp.config.schema import RunConfig
from lic_exp.config.validation import validate
from lic_exp.saying import say


def start(config: RunConfig, given: list[str]) -> int:
    """Run a config, or say that its run is done. given: the command line. Returns the exit code."""
    # Refusals are to be instant, and rich is for what starts.
    from lic_exp.console import console_for
    from lic_exp.runs.outcome import guarded
    from lic_exp.runs.start import start_run

    console = console_for(sys.stderr)
    return guarded(lambda: start_run(config, given, console, console_for(sys.stdout)), console)


def start_composed(config: dict[str, Any], given: list[str]) -> int:
    """Run what Hydra has composed, for one of its own launchers or under `hydra.*`. Returns the exit code."""
    try:
        checked = validate(config)
    except ConfigError as error:
        say(*error.report().splitlines())
        return exit_codes.CONFIG
    return start(checked, given)
