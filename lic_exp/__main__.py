"""`python -m lic_exp VERB`: what can be done with runs and sweeps once they exist."""

import argparse
import os
import sys
from collections.abc import Sequence

from lic_exp.catalogue import CatalogueError
from lic_exp.launching import (
    exit_codes,
    verbs_complexity,
    verbs_doctor,
    verbs_eval,
    verbs_explain,
    verbs_export,
    verbs_extend,
    verbs_gc,
    verbs_ls,
    verbs_rm,
    verbs_show,
    verbs_sweeps,
    verbs_sync,
    verbs_verify,
)
from lic_exp.launching.errors import ConfigError, did_you_mean
from lic_exp.launching.lock import RunBusyError

# Each offers add_parser(verbs); importing one loads nothing heavy.
VERBS = (
    *(verbs_ls, verbs_show, verbs_eval, verbs_extend, verbs_export, verbs_sync, verbs_rm, verbs_gc, verbs_doctor),
    *(verbs_complexity, verbs_verify, verbs_sweeps, verbs_explain),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb. Returns the exit code (`lic_exp.launching.exit_codes`); without a verb, shows what there is."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments[:1] == ["launch"]:
        from lic_exp.launching.main import main as launch

        return launch(arguments[1:])
    parser, names = _parser()
    if not arguments:
        parser.print_help()
        return exit_codes.DONE
    if not arguments[0].startswith("-") and arguments[0] not in names:
        hint = did_you_mean(arguments[0], names)
        print(f"there is no verb {arguments[0]}.{hint} Verbs: {', '.join(names)}", file=sys.stderr)
        return exit_codes.CONFIG
    return _run(parser.parse_args(arguments))


def _run(options: argparse.Namespace) -> int:
    try:
        code: int = options.verb(options)
        sys.stdout.flush()
    except (ConfigError, CatalogueError) as error:
        print(error, file=sys.stderr)
        return exit_codes.CONFIG
    except RunBusyError as error:
        print(error, file=sys.stderr)
        return exit_codes.BUSY
    except BrokenPipeError:
        # The reader, say `head`, has seen enough; what is still buffered must not fail at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exit_codes.DONE
    return code


def _parser() -> tuple[argparse.ArgumentParser, list[str]]:
    """The parser, and the names of the verbs."""
    parser = argparse.ArgumentParser(prog="lic_exp", description=__doc__)
    verbs = parser.add_subparsers(required=True, metavar="VERB", title="verbs")
    verbs.add_parser("launch", help="train and evaluate: the same as launch.py, overrides and all")
    for module in VERBS:
        module.add_parser(verbs)
    return parser, list(verbs.choices)


if __name__ == "__main__":
    sys.exit(main())
