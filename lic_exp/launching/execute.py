"""One run from its validated config to its final state: its folder, its status, and what is done in between."""

import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import yaml
from rich.console import Console

from lic_exp.atomic import write_atomically
from lic_exp.divergence import DivergedError
from lic_exp.launching import build as building
from lic_exp.launching.code import code_hash
from lic_exp.launching.environment import record_environment
from lic_exp.launching.errors import ConfigError
from lic_exp.launching.evaluate_run import evaluate_run
from lic_exp.launching.identity import shape
from lic_exp.launching.lock import run_lock
from lic_exp.launching.run import Run
from lic_exp.launching.schema import SCHEMA_VERSION
from lic_exp.launching.signals import StopRequest
from lic_exp.launching.train_run import train
from lic_exp.tracking.base import forget
from lic_exp.tracking.run_folder import RunFolder
from lic_exp.training.checkpoint import Checkpoints
from lic_exp.training.trainer import Preempted

Config = Mapping[str, Any]
log = logging.getLogger("lic_exp.launching")

HEARTBEAT_EVERY_S = 10.0


def execute(config: Config, run: RunFolder, arguments: list[str], console: Console, *, sweep: str | None = None) -> Run:
    """Train and evaluate `config` in the folder `run`, from its newest checkpoint where there is one.

    sweep: the name of the sweep that this is a cell of.

    Whatever happens, status.json says it; errors are re-raised. Raises RunBusyError where another process has the run,
    and Preempted where a signal asked to stop.
    """
    torch.set_num_threads(config["trainer"]["threads"] or torch.get_num_threads())
    with run_lock(run), StopRequest() as stop, _log_file(run):
        prepare(config, run, arguments, sweep)
        tracker = building.build_tracker(config, run)
        state, reason = "failed", ""
        log.info("attempt %d begins", run.status()["attempt"])
        try:
            if tracker:
                tracker.start()
            with _heartbeat(run) as pulse:
                train(config, run, tracker, console, stop, pulse)
                if config["evaluation"]["enabled"]:
                    evaluate_run(Run(run.root), console=console, stop=stop)
            state = "done"
        except Preempted as error:
            state, reason = "preempted", str(error)
            raise
        except DivergedError as error:
            state, reason = "diverged", str(error)
            raise
        except BaseException as error:
            log.exception("the run failed")
            reason = f"{type(error).__name__}: {error}"
            raise
        finally:
            try:
                run.update_status(state=state, reason=reason, finished=time.time())
                log.info("the attempt ends: %s", f"{state}, {reason}" if reason else state)
            finally:  # also where the disk is full
                if tracker:
                    tracker.finish(state)
    return Run(run.root)


def prepare(config: Config, run: RunFolder, arguments: list[str], sweep: str | None) -> None:
    """Make the run folder ready for an attempt.

    Raises ConfigError where `trainer.resume=must` has nothing to resume.
    """
    run.create()
    checkpoints = Checkpoints(run.checkpoints, run.signature)
    resume = config["trainer"]["resume"]
    if resume == "must" and not checkpoints.steps():
        raise ConfigError([f"trainer.resume=must: run {run.signature} has no checkpoint to go on from"])
    anew = resume == "never" or not checkpoints.steps()
    if anew:
        # Starting over: what an earlier attempt logged would otherwise stand there twice.
        checkpoints.clear()
        run.metrics_file.unlink(missing_ok=True)
        forget(run)
    write_atomically(run.config, yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True))
    before = run.status()
    # Of a run that goes on by other code than it was begun with, both are kept.
    made_by = [] if anew else before.get("code", [])
    run.update_status(
        state="running",
        attempt=before.get("attempt", 0) + 1,
        sweep=sweep or before.get("sweep"),
        code=list(dict.fromkeys([*made_by, code_hash(tuple(config["plugins"]))])),
        shape=shape(config),
        reason="",
        started=time.time(),
        finished=None,
        name=config["name"],
        parent=config["parent"],
        schema_version=SCHEMA_VERSION,
    )
    record_environment(run, arguments)


@contextmanager
def _log_file(run: RunFolder) -> Iterator[None]:
    """Sends the platform's log records to run.log while inside."""
    logger, handler = logging.getLogger("lic_exp"), logging.FileHandler(run.log, delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        handler.close()


@contextmanager
def _heartbeat(run: RunFolder) -> Iterator[dict[str, Any]]:
    """Renews status.json's heartbeat while inside, also during long validations and evaluations.

    Yields what else each beat writes, to be filled.
    """
    ended = threading.Event()
    pulse: dict[str, Any] = {}

    def beat() -> None:
        while not ended.wait(HEARTBEAT_EVERY_S):
            try:
                run.update_status(**pulse)
            except OSError as error:  # a full disk must not go unnoticed, but the next beat may work
                log.warning("the heartbeat could not be written: %s", error)

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield pulse
    finally:
        ended.set()
        thread.join()
