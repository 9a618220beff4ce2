"""One attempt at a run: its folder, its status, and what is done in between."""

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from logging.handlers import MemoryHandler
from pathlib import Path

import torch
from rich.console import Console

from lic_exp.config.errors import ConfigError
from lic_exp.config.evaluated import separate_images
from lic_exp.config.loading import with_values
from lic_exp.config.schema import RunConfig
from lic_exp.config.signing import wanted_evaluation
from lic_exp.data.images import ImageError
from lic_exp.data.unchanged import files_unchanged
from lic_exp.divergence import DivergedError
from lic_exp.fault_points import reached
from lic_exp.ops.ranks import agreed, first_then_others, is_first, rank, said_by_first
from lic_exp.runs import build as building
from lic_exp.runs.attempt_record import conclude, keep_config, prepare
from lic_exp.runs.beginnings import check_resume
from lic_exp.runs.changed_images import check_evaluated, check_trained
from lic_exp.runs.compiling import said_in_one_message
from lic_exp.runs.evaluate import evaluate_run
from lic_exp.runs.heartbeat import Heartbeat
from lic_exp.runs.judging import Judged, judged
from lic_exp.runs.lock import Hold, RunGoneError, run_is_held, run_lock
from lic_exp.runs.log_file import held_back, log_file
from lic_exp.runs.numerics import keep_to_record
from lic_exp.runs.one_at_a_time import one_at_a_time
from lic_exp.runs.preflight import Findings, looked_at
from lic_exp.runs.rank_place import check_place, rank_place
from lic_exp.runs.rank_process import StopReason, device_of, joined
from lic_exp.runs.rank_watch import RankWatch
from lic_exp.runs.recovery import known_status, set_aside_damaged
from lic_exp.runs.removal import set_aside
from lic_exp.runs.run import Run
from lic_exp.runs.signals import StopRequest
from lic_exp.runs.staleness import is_remade
from lic_exp.runs.summary import say
from lic_exp.runs.train import train, train_along
from lic_exp.tracking.run_folder import EVALUATION_KEY, RunFolder
from lic_exp.training.preempted import Preempted

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
    place = rank_place()
    check_place(config, place)
    with one_at_a_time(f"trains run {run.signature}"), StopRequest() as signals:
        if run_is_held(run):
            with run_lock(run):  # says by whom
                pass
        check_resume(config, run)
        device = device_of(config, place)
        with building.made_current(device), joined(config, place, device) as watch:
            stop = StopReason(signals, watch)
            parts, said = first_then_others(partial(_judged, config, run, device, console))
            if reason := agreed(stop()):
                raise Preempted(f"{reason}: stopped before its training began")
            if watch and not is_first():
                with watch.explaining():
                    return follow(config, run, parts, device, console, stop, said)
            return Attempt(config, run, parts, device, arguments, console, sweep, watch).make(stop, said)


def _judged(config: RunConfig, run: RunFolder, device: torch.device, console: Console) -> tuple[Judged, MemoryHandler]:
    """What the run trains with, and what was logged meanwhile."""
    with held_back(console) as said, files_unchanged():
        # What is to be set aside is not gone on from.
        begun = with_values(config, {"trainer.resume": "never"}) if _is_remade(config, run) else config
        keep_to_record(begun, run, device)
        return judged(begun, run, device), said


def follow(
    config: RunConfig,
    run: RunFolder,
    parts: Judged,
    device: torch.device,
    console: Console,
    stop: Callable[[], str | None],
    said: MemoryHandler,
) -> bool:
    """What the ranks but the first do of an attempt: they compute, and leave everything else to it."""
    if not said_by_first(False):
        return False
    with under_way(), log_file(run, said, f"rank {rank()}: "):
        log.info("training along with the first rank, on %s", device)
        with said_in_one_message(config):
            train_along(config, parts, run, device, console, stop)
        if config.evaluation.enabled:
            evaluate_run(Run(run.root), config=config, stop=stop, just_trained=True)
    return True


@dataclass(frozen=True)
class Attempt:
    """What an attempt is made with. arguments, sweep: as `execute` takes them. watch: of the other ranks, if any."""

    config: RunConfig
    run: RunFolder
    parts: Judged
    device: torch.device
    arguments: list[str]
    console: Console
    sweep: str | None
    watch: RankWatch | None = None

    def make(self, stop: Callable[[], str | None], said: MemoryHandler) -> bool:
        """What follows once all is built, as `execute`. said: what was logged meanwhile."""
        kept = self._set_aside() if _is_remade(self.config, self.run) else None
        with run_lock(self.run) as hold:
            if known_status(self.config, self.run).get("state") == "done":
                return said_by_first(False)
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

    def _go_through(self, hold: Hold, stop: Callable[[], str | None]) -> None:
        config, run, tracker = self.config, self.run, None
        state, reason = "failed", ""
        if self.watch:
            self.watch.end = partial(self._end_at_once, hold)
        try:
            with under_way(), self._losses_explained():
                prepare(config, hold, self.arguments, self.sweep)
                said_by_first(True)
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

    def _losses_explained(self) -> AbstractContextManager[None]:
        return self.watch.explaining() if self.watch else nullcontext()

    def _end_at_once(self, hold: Hold, reason: str) -> None:
        """Say how it ended where the thread that should do so waits for a rank that is gone."""
        conclude(hold, "failed", f"RankLostError: {reason}")
        log.info("the attempt ends: failed, %s", reason)


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
