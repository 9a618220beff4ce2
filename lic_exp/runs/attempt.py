"""One attempt at a run: its folder, its status, and what is done in between."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import MemoryHandler
from typing import Any

import torch
import yaml
from rich.console import Console

from lic_exp.atomic import write_atomically
from lic_exp.config.errors import ConfigError
from lic_exp.config.schema import RunConfig
from lic_exp.config.signing import data_source, throughput_key, wanted_evaluation
from lic_exp.data.unchanged import files_unchanged
from lic_exp.divergence import DivergedError
from lic_exp.records import SCHEMA_VERSION, RecordError
from lic_exp.runs import build as building
from lic_exp.runs.changed_images import check_beginning, check_evaluated, check_trained
from lic_exp.runs.code_hash import code_hash
from lic_exp.runs.evaluate import evaluate_run
from lic_exp.runs.lock import RunBusyError, run_is_held, run_lock
from lic_exp.runs.preflight import checked_source
from lic_exp.runs.provenance import record_environment
from lic_exp.runs.recovery import set_aside_damaged
from lic_exp.runs.run import Run
from lic_exp.runs.signals import StopRequest
from lic_exp.runs.train import train, with_first_weights
from lic_exp.tracking.base import forget
from lic_exp.tracking.run_folder import EVALUATION_KEY, RunFolder
from lic_exp.training.checkpoint import Checkpoints
from lic_exp.training.objective import Objective
from lic_exp.training.trainer import Preempted

log = logging.getLogger("lic_exp.runs")

HEARTBEAT_EVERY_S = 10.0


def execute(
    config: RunConfig, run: RunFolder, arguments: list[str], console: Console, *, sweep: str | None = None
) -> Run:
    """Train and evaluate `config` in the folder `run`, from its newest checkpoint where there is one.

    sweep: the name of the sweep that this is a cell of.

    Everything is built before the folder is made, so that what cannot be built leaves nothing behind. From then on,
    whatever happens, status.json says it; errors are re-raised. Raises ConfigError, RunBusyError where another process
    has the run, and Preempted where a signal asked to stop.
    """
    with StopRequest() as stop:
        if run_is_held(run):
            with run_lock(run):  # says by whom
                pass
        if config.trainer.resume == "must" and not Checkpoints(run.checkpoints, run.signature).steps():
            raise ConfigError([f"trainer.resume=must: run {run.signature} has no checkpoint to go on from"])
        torch.set_num_threads(config.trainer.threads or torch.get_num_threads())
        device = building.resolve_device(config.trainer.device)
        with _held_back() as said, files_unchanged():
            objective = _built(config, run, device)
        if stop():
            raise Preempted(f"{stop()}: stopped before its training began")
        _attempt(config, objective, run, device, arguments, console, sweep, stop, said)
    return Run(run.root)


def _attempt(
    config: RunConfig,
    objective: Objective,
    run: RunFolder,
    device: torch.device,
    arguments: list[str],
    console: Console,
    sweep: str | None,
    stop: StopRequest,
    said: MemoryHandler,
) -> None:
    """What follows once all is built. said: what was logged meanwhile."""
    with run_lock(run), log_file(run, said):
        set_aside_damaged(run)
        if run.status().get("state") == "done":
            raise RunBusyError(f"run {run.signature} was finished by another process meanwhile: give the command again")
        tracker = None
        state, reason = "failed", ""
        try:
            prepare(config, run, arguments, sweep)
            log.info("attempt %d begins", run.status()["attempt"])
            if tracker := building.build_tracker(config, run):
                tracker.start()
            with _heartbeat(run) as pulse:
                train(config, objective, run, device, tracker, console, stop, pulse)
                if config.evaluation.enabled:
                    evaluate_run(Run(run.root), config=config, console=console, stop=stop)
                check_trained(config, run, run.status().get(EVALUATION_KEY))
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


def evaluate_only(config: RunConfig, run: RunFolder, console: Console) -> None:
    """Evaluate a finished run as `config` says, beside what has been evaluated of it before.

    Trackers get it by the next `sync`. Raises as `execute`.
    """
    torch.set_num_threads(config.trainer.threads or torch.get_num_threads())
    wanted = wanted_evaluation(config)
    with StopRequest() as stop, run_lock(run), log_file(run):
        log.info("another evaluation begins")
        run.update_status()  # says whose heartbeat this is
        try:
            with _heartbeat(run):
                if config.evaluation.data is not None:
                    checked_source(config, config.data, run)
                found = evaluate_run(Run(run.root), config=config, console=console, stop=stop)
                check_evaluated(config, run, wanted, found.images_changed)
        except BaseException:
            log.exception("the evaluation ended early")
            raise


def _built(config: RunConfig, run: RunFolder, device: torch.device) -> Objective:
    """Codec, criterion and regularizers; and once, to see that they can be, loaders, optimizers and schedules."""
    objective = building.build_objective(with_first_weights(config, run), device)
    building.evaluation_rates(objective.criterion, objective.codec, config.evaluation.qualities)
    for stage in building.build_stages(config, objective, data_source, device):
        stage.build()
    return objective


def prepare(config: RunConfig, run: RunFolder, arguments: list[str], sweep: str | None) -> None:
    """Make the run folder ready for an attempt."""
    run.create()
    checkpoints = Checkpoints(run.checkpoints, run.signature)
    anew = config.trainer.resume == "never" or not checkpoints.steps()
    check_beginning(run, anew=anew)
    if anew:
        # Starting over: what an earlier attempt logged would otherwise stand there twice.
        checkpoints.clear()
        run.metrics_file.unlink(missing_ok=True)
        forget(run)
        Run(run.root).disown_evaluations()
    write_atomically(run.config, yaml.safe_dump(config.plain(), sort_keys=False, allow_unicode=True))
    before = run.status()
    # Of a run that goes on by other code than it was begun with, both are kept.
    made_by = [] if anew else before.get("code", [])
    run.update_status(
        state="running",
        attempt=before.get("attempt", 0) + 1,
        sweep=sweep or before.get("sweep"),
        code=list(dict.fromkeys([*made_by, code_hash(tuple(config.plugins))])),
        throughput_key=throughput_key(config),
        reason="",
        started=time.time(),
        finished=None,
        name=config.name,
        parent=config.parent,
        evaluation=wanted_evaluation(config),
        schema_version=SCHEMA_VERSION,
    )
    record_environment(run, arguments)


@contextmanager
def log_file(run: RunFolder, earlier: MemoryHandler | None = None) -> Iterator[None]:
    """Sends the platform's log records to run.log while inside, first those that were held back before."""
    handler = logging.FileHandler(run.log, delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    if earlier is not None:
        earlier.setTarget(handler)
        earlier.flush()
    with _listening(handler):
        yield


@contextmanager
def _held_back() -> Iterator[MemoryHandler]:
    """Keeps what is logged while there is no run folder yet."""
    handler = MemoryHandler(capacity=1000, flushLevel=logging.CRITICAL + 1)
    with _listening(handler):
        yield handler


@contextmanager
def _listening(handler: logging.Handler) -> Iterator[None]:
    logger = logging.getLogger("lic_exp")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        if not isinstance(handler, MemoryHandler):
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
            # A full disk, or who else writes there, must not go unnoticed, but the next beat may work.
            except (OSError, RecordError) as error:
                log.warning("the heartbeat could not be written: %s", error)

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield pulse
    finally:
        ended.set()
        thread.join()
