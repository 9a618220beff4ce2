"""`python -m analysis VERB`: tables and curves from runs, published points and results files."""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from analysis.errors import AnalysisError

VERB_MODULES = (
    "analysis.verbs_rd",
    "analysis.verbs_runs",
    "analysis.verbs_sweep",
    "analysis.verbs_ablation",
    "analysis.verbs_complexity",
)
"""Each offers `add_parser(verbs)`, which adds its verbs and sets `verb=` to a function (options) -> exit code."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb. Returns the exit code: 0 done, 2 the command or what it names is wrong."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.verb(options)
    except AnalysisError as error:
        print(error, file=sys.stderr)
        return 2
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m analysis", description=__doc__)
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    for module in VERB_MODULES:
        import_module(module).add_parser(verbs)
    return parser


if __name__ == "__main__":
    sys.exit(main())
