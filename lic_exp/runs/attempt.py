"""One attempt at a run: its folder, its status, and what is done in between."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from logging.handlers import MemoryHandler
from pathlib import Path

import torch
import yaml
from rich.console import Console

from lic_exp.atomic import write_atomically
from lic_exp.config.chosen import targets
from lic_exp.config.errors import ConfigError
from lic_exp.config.evaluated import separate_images
from lic_exp.config.loading import with_values
from lic_exp.config.schema import RunConfig
from lic_exp.config.signing import throughput_key, wanted_evaluation
from lic_exp.data.images import ImageError
from lic_exp.data.unchanged import files_unchanged
from lic_exp.divergence import DivergedError
from lic_exp.fault_points import reached
from lic_exp.records import SCHEMA_VERSION
from lic_exp.runs import build as building
from lic_exp.runs.beginnings import check_resume
from lic_exp.runs.changed_images import check_beginning, check_evaluated, check_trained
from lic_exp.runs.code_hash import code_at_work, code_parts
from lic_exp.runs.compiling import said_in_one_message
from lic_exp.runs.evaluate import evaluate_run
from lic_exp.runs.heartbeat import Heartbeat
from lic_exp.runs.images_record import images_record
from lic_exp.runs.judging import Judged, judged
from lic_exp.runs.lock import Hold, LockLostError, RunBusyError, RunGoneError, run_is_held, run_lock
from lic_exp.runs.log_file import held_back, log_file
from lic_exp.runs.numerics import keep_to_record
from lic_exp.runs.one_at_a_time import one_at_a_time
from lic_exp.runs.preflight import Findings, looked_at
from lic_exp.runs.provenance import record_environment
from lic_exp.runs.recovery import goes_on, known_status, set_aside_damaged
from lic_exp.runs.removal import set_aside
from lic_exp.runs.run import Run
from lic_exp.runs.signals import StopRequest
from lic_exp.runs.staleness import earlier_code, is_remade
from lic_exp.runs.summary import say
from lic_exp.runs.train import train
from lic_exp.tracking.base import forget
from lic_exp.tracking.run_folder import EVALUATION_KEY, RunFolder
from lic_exp.training.checkpoint import Checkpoints
from lic_exp.training.trainer import Preempted

log = logging.getLogger("lic_exp.runs")


class AttemptError(RuntimeError):
    """What is wrong with a config, or with what it names, showed only once the attempt was under way."""


@contextmanager
def under_way() -> Iterator[None]:
    """Within, a ConfigError is no refusal any more, after which nothing was started."""
    try:
        yield
    except ConfigError as error:
        raise AttemptError("; ".join(error.messages)) from error


def execute(
    config: RunConfig, run: RunFolder, arguments: list[str], console: Console, *, sweep: str | None = None
) -> bool:
    """Train and evaluate `config` in the folder `run`, from its newest checkpoint where there is one.

    sweep: the name of the sweep that this is a cell of. Returns False, and has done nothing, where another process has
    finished the run before it could be taken.

    Everything is judged before the folder is made, so that what is refused by ConfigError leaves nothing behind. From
    then on, whatever happens, status.json says it; errors are re-raised, a ConfigError as AttemptError. Raises
    RunBusyError where another process has the run or this one another run, RunGoneError where its folder was deleted,
    and Preempted where a signal asked to stop.
    """
    with one_at_a_time(f"trains run {run.signature}"), StopRequest() as stop:
        if run_is_held(run):
            with run_lock(run):  # says by whom
                pass
        check_resume(config, run)
        device = building.resolve_device(config.trainer.device)
        with building.made_current(device):
            with held_back(console) as said, files_unchanged():
                # What is to be set aside is not gone on from.
                begun = with_values(config, {"trainer.resume": "never"}) if _is_remade(config, run) else config
                keep_to_record(begun, run, device)
                parts = judged(begun, run, device)
            if stop():
                raise Preempted(f"{stop()}: stopped before its training began")
            return Attempt(config, run, parts, device, arguments, console, sweep).make(stop, said)


@dataclass(frozen=True)
class Attempt:
    """What an attempt is made with. arguments, sweep: as `execute` takes them."""

    config: RunConfig
    run: RunFolder
    parts: Judged
    device: torch.device
    arguments: list[str]
    console: Console
    sweep: str | None

    def make(self, stop: StopRequest, said: MemoryHandler) -> bool:
        """What follows once all is built, as `execute`. said: what was logged meanwhile."""
        kept = self._set_aside() if _is_remade(self.config, self.run) else None
        with run_lock(self.run) as hold:
            if known_status(self.config, self.run).get("state") == "done":
                return False
            with log_file(self.run, said):
                if kept:
                    log.info("what there was of this run is in %s", kept)
                set_aside_damaged(self.run)
                self._go_through(hold, stop)
        return True

    def _set_aside(self) -> Path | None:
        """Where the run is now that is to be made anew; None where another process was faster."""
        kept = set_aside(self.run.root, lambda: _is_remade(self.config, self.run))
        if kept:
            name = self.run.signature
            say(self.console, f"run {name} was not made by the code there is now: it is kept in {kept}, and made anew")
        return kept

    def _go_through(self, hold: Hold, stop: StopRequest) -> None:
        config, run, tracker = self.config, self.run, None
        state, reason = "failed", ""
        try:
            with under_way():
                prepare(config, hold, self.arguments, self.sweep)
                reached("attempt.prepared")
                log.info("attempt %d begins", run.status()["attempt"])
                if tracker := self.parts.tracker:
                    tracker.start()
                with Heartbeat(hold, stop) as heart:
                    with said_in_one_message(config):
                        train(config, self.parts, run, self.device, self.console, heart)
                    keep_config(config, hold)
                    if config.evaluation.enabled:
                        asked, trained = heart.asked_to_stop, Run(run.root)
                        evaluate_run(trained, config=config, console=self.console, stop=asked, just_trained=True)
                    check_trained(config, run, run.status().get(EVALUATION_KEY))
                keep_config(config, hold)
            state = "done"
        except Preempted as error:
            state, reason = "preempted", str(error)
            try:  # for who goes on may find them put back
                check_trained(config, run, None)
            except ImageError as changed:
                state, reason = "failed", f"ImageError: {changed}"
                raise changed from error
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
                conclude(hold, state, reason)
                log.info("the attempt ends: %s", f"{state}, {reason}" if reason else state)
            except RunGoneError:
                tracker = None  # what it would send is gone as well
                raise
            finally:  # also where the disk is full
                if tracker:
                    tracker.finish(state)


def _is_remade(config: RunConfig, run: RunFolder) -> bool:
    return is_remade(config, known_status(config, run))


def evaluate_only(config: RunConfig, run: RunFolder, console: Console) -> None:
    """Evaluate a finished run as `config` says, beside what has been evaluated of it before.

    Does nothing where another process has done so before the run could be taken. Trackers get it by the next `sync`.
    Raises as `execute`.
    """
    wanted = wanted_evaluation(config)
    findings = Findings()
    with held_back(console) as said, files_unchanged():
        if separate_images(config):
            looked_at(config, config.data, run, findings)
    with StopRequest() as stop, run_lock(run) as hold:
        if wanted is not None and Run(run.root).is_evaluated(wanted):
            return
        with one_at_a_time(f"evaluates run {run.signature}"), log_file(run, said):
            torch.set_num_threads(config.trainer.threads or torch.get_num_threads())
            log.info("another evaluation begins")
            hold.update_status()  # says whose heartbeat this is
            findings.keep(run)
            try:
                with under_way(), Heartbeat(hold, stop) as heart:
                    found = evaluate_run(Run(run.root), config=config, console=console, stop=heart.asked_to_stop)
                    check_evaluated(config, run, wanted, found.images_changed)
            except BaseException:
                log.exception("the evaluation ended early")
                raise


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
