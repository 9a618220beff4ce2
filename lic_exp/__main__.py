"""`python -m lic_exp VERB`: what can be done with runs once they exist."""

import argparse
import sys
from collections.abc import Sequence

from lic_exp.launching.errors import ConfigError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb. Returns the exit code: 0 done, 1 a result is wrong, 2 the command is."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments[:1] == ["launch"]:
        from lic_exp.launching.main import main as launch

        return launch(arguments[1:])
    options = _parser().parse_args(arguments)
    try:
        code: int = options.verb(options)
    except ConfigError as error:
        print("\n".join(error.messages), file=sys.stderr)
        return 2
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lic_exp", description=__doc__)
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    verbs.add_parser("launch", help="train and evaluate: the same as launch.py, overrides and all")
    evaluate = verbs.add_parser("eval", help="code images to real bitstreams with a run's best weights")
    evaluate.add_argument("run", metavar="RUN", help="run folder, signature, or the beginning of one")
    evaluate.add_argument("--data", metavar="FOLDER", help="images; default: what the run evaluates on")
    evaluate.add_argument("--runs", default="runs", metavar="FOLDER", help="where run folders are (default: runs)")
    evaluate.add_argument("--out", metavar="FOLDER", help="where results go (default: eval/ in the run folder)")
    evaluate.set_defaults(verb=_evaluate)
    return parser


def _evaluate(options: argparse.Namespace) -> int:
    from pathlib import Path

    from lic_exp.launching.run import find_run
    from lic_exp.launching.summary import console_for

    run = find_run(options.run, options.runs)
    from lic_exp.evaluation.report import evaluation_table
    from lic_exp.launching.execute import evaluate_run

    folder = Path(options.out) if options.out else None
    evaluation = evaluate_run(run, data=options.data, folder=folder, console=console_for(sys.stderr))
    console_for(sys.stdout).print(evaluation_table(evaluation))
    return 1 if evaluation.mismatches else 0


if __name__ == "__main__":
    sys.exit(main())
