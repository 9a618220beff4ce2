"""What an attempt leaves behind where it fails before it trains."""

import os
import signal
from pathlib import Path

import pytest
from commands import QUICK

from lic_exp import exit_codes
from lic_exp.cli.launch import main
from lic_exp.config.errors import ConfigError
from lic_exp.runs import attempt, build
from lic_exp.runs.run import Run

SMALL = ("model=factorized_tiny", *QUICK, "trainer.max_steps=1")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.freeze=[nosuch]", "model.freeze: 'nosuch' matches no parameter"),
        ("optimizer.lr_factors={nosuch: 0.5}", "optimizer: lr_factors: 'nosuch' matches no trainable parameter"),
    ],
)
def test_what_cannot_be_built_leaves_nothing_behind(here, override, message, capfd):
    assert main([*SMALL, override]) == exit_codes.CONFIG
    assert message in capfd.readouterr().err
    assert not list(here.iterdir())


def test_a_tracker_that_cannot_be_built_leaves_nothing_behind(here, monkeypatch, capfd):
    def broken(*_: object) -> None:
        raise RuntimeError("the store is broken")

    monkeypatch.setattr(build, "build_tracker", broken)
    assert main([*SMALL]) == exit_codes.FAILED
    assert "RuntimeError: the store is broken" in capfd.readouterr().err
    assert not list(here.iterdir())


def test_a_tracker_that_cannot_start_is_how_the_run_ended(here, monkeypatch, capfd):
    class Broken:
        def start(self) -> None:
            raise RuntimeError("the store is broken")

        def finish(self, state: str) -> None:
            assert state == "failed"

    monkeypatch.setattr(build, "build_tracker", lambda *_: Broken())
    assert main([*SMALL]) == exit_codes.FAILED
    (run,) = here.glob("runs/*/")
    assert (Run(run).state, Run(run).status["reason"]) == ("failed", "RuntimeError: the store is broken")


def test_what_is_found_wrong_once_it_is_under_way_is_no_refusal(here, monkeypatch, capfd):
    """Nobody may say then that nothing was started: it failed, and its status says so."""

    def gone(*_: object, **__: object) -> None:
        raise ConfigError(["evaluation.data: it is gone", "and so is the rest"])

    monkeypatch.setattr(attempt, "evaluate_run", gone)
    assert main([*SMALL, "evaluation.enabled=true"]) == exit_codes.FAILED
    said = capfd.readouterr().err
    assert "evaluation.data: it is gone; and so is the rest" in said
    assert "nothing was started" not in said
    assert "Traceback" not in said
    (run,) = here.glob("runs/*/")
    assert Run(run).state == "failed"
    assert "it is gone" in Run(run).status["reason"]


def test_a_run_that_must_be_resumed_and_is_not_there_leaves_nothing_behind(here, capfd):
    assert main([*SMALL, "trainer.resume=must"]) == exit_codes.CONFIG
    assert "has no checkpoint to go on from" in capfd.readouterr().err
    assert not list(here.iterdir())


def test_a_stop_while_it_is_built_is_heeded_before_anything_is_written(here, monkeypatch, capfd):
    built = build.build_objective

    def interrupted(*arguments: object) -> object:
        os.kill(os.getpid(), signal.SIGTERM)
        return built(*arguments)

    monkeypatch.setattr(build, "build_objective", interrupted)
    assert main([*SMALL]) == exit_codes.PREEMPTED
    assert "SIGTERM: stopped before its training began" in capfd.readouterr().err
    assert not list(here.iterdir())
