"""What an attempt writes of itself: that it begins, by what and from where, and how it ended."""

import logging
import time

import yaml

from lic_exp.atomic import write_atomically
from lic_exp.config.chosen import targets
from lic_exp.config.schema import RunConfig
from lic_exp.config.signing import throughput_key, wanted_evaluation
from lic_exp.records import SCHEMA_VERSION
from lic_exp.runs.changed_images import check_beginning
from lic_exp.runs.code_hash import code_at_work, code_parts
from lic_exp.runs.images_record import images_record
from lic_exp.runs.lock import Hold, LockLostError, RunBusyError, run_lock
from lic_exp.runs.provenance import record_environment
from lic_exp.runs.rank_place import starter
from lic_exp.runs.recovery import goes_on
from lic_exp.runs.run import Run
from lic_exp.runs.staleness import earlier_code
from lic_exp.tracking.base import forget
from lic_exp.training.checkpoint import Checkpoints

log = logging.getLogger("lic_exp.runs")


def prepare(config: RunConfig, hold: Hold, arguments: list[str], sweep: str | None) -> None:
    """Make the folder of the run that is held ready for an attempt."""
    run = hold.run
    run.create()
    checkpoints = Checkpoints(run.checkpoints, run.signature)
    anew = not goes_on(config, run)
    made_by = earlier_code(config, run)
    check_beginning(run, anew=anew)
    if anew:
        # Starting over: what an earlier attempt logged would otherwise stand there twice.
        checkpoints.clear()
        run.metrics_file.unlink(missing_ok=True)
        forget(run)
        Run(run.root).disown_evaluations()
    write_atomically(run.config, yaml.safe_dump(config.plain(), sort_keys=False, allow_unicode=True))
    before = run.status()
    components, plugins = targets(config.plain()), list(config.plugins)
    at_work = code_at_work(components, plugins)
    hold.update_status(
        state="running",
        attempt=before.get("attempt", 0) + 1,
        sweep=sweep or before.get("sweep"),
        code=list(dict.fromkeys([*made_by, at_work])),
        parts=(at_work and code_parts(components, plugins)) or {},
        plugins=plugins,
        throughput_key=throughput_key(config),
        reason="",
        starter=starter(),
        started=time.time(),
        finished=None,
        name=config.name,
        parent=config.parent,
        evaluation=wanted_evaluation(config),
        schema_version=SCHEMA_VERSION,
    )
    record_environment(run, arguments, config.plugins, images_record(config))


def keep_config(config: RunConfig, hold: Hold) -> None:
    """Put config.yaml back where somebody deleted it: without it no command finds the run."""
    hold.check()
    if not hold.run.config.is_file():
        log.warning("%s was deleted, and is put back", hold.run.config)
        hold.run.create()
        write_atomically(hold.run.config, yaml.safe_dump(config.plain(), sort_keys=False, allow_unicode=True))


def conclude(hold: Hold, state: str, reason: str) -> None:
    """Write how an attempt ended, while the run is still this process's; else raise why it is not.

    Where only the lock file is gone, and nobody else has taken the run, it is said nevertheless.
    """
    ending = {"state": state, "reason": reason, "finished": time.time()}
    try:
        hold.update_status(**ending)
    except LockLostError as lost:
        try:
            with run_lock(hold.run) as again:
                again.update_status(**ending | {"state": "failed", "reason": str(lost)})
        except RunBusyError:
            log.info("another process has the run by now")
        raise
