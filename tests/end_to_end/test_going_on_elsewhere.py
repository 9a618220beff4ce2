"""Runs that go on with other threads keep their bits; on another torch they are refused, or say so."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from commands import QUICK
from killing import differences

from lic_exp import exit_codes
from lic_exp.__main__ import main as lic_exp
from lic_exp.cli.launch import main
from lic_exp.tracking.run_folder import RunFolder

pytestmark = pytest.mark.usefixtures("two_threads")

SMALL = (
    *("model=factorized_tiny", *QUICK, "trainer.threads=null", "trainer.try_step=false"),
    *("trainer.max_steps=4", "trainer.checkpoint_every_steps=2", "trainer.validate_every_steps=2"),
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """{number of threads: the folder of a run of four steps that was trained with so many}"""
    place, before, found = tmp_path_factory.mktemp("numerics"), torch.get_num_threads(), {}
    for threads in (1, 2):
        torch.set_num_threads(threads)
        assert main([*SMALL, f"paths.runs={place}/{threads}"]) == exit_codes.DONE
        (found[threads],) = place.glob(f"{threads}/*/")
    torch.set_num_threads(before)
    return found


@pytest.fixture
def cut(trained, tmp_path, monkeypatch):
    """The run of two threads as if it had been stopped after its second step, in ./runs."""
    monkeypatch.chdir(tmp_path)
    run = Path(shutil.copytree(trained[2], tmp_path / "runs" / trained[2].name))
    (run / "checkpoints/step_00000004.pt").unlink()
    RunFolder(run).update_status(state="preempted")
    return run


def test_the_record_is_made_when_training_begins(trained):
    known = {threads: RunFolder(run).status()["numerics"] for threads, run in trained.items()}
    for threads, (record,) in known.items():
        assert record["threads"] == threads
        assert (record["from_step"], record["device"], record["torch"]) == (0, "cpu", str(torch.__version__))


@pytest.mark.parametrize("threads", [1, 3])
def test_with_whatever_threads_it_goes_on_the_bits_are_the_same(trained, cut, threads):
    torch.set_num_threads(threads)
    assert main([*SMALL]) == exit_codes.DONE
    assert differences(trained[2], cut, 4) == []
    assert torch.get_num_threads() == threads, "the caller's"
    assert len(RunFolder(cut).status()["numerics"]) == 1
    said = f"2 CPU threads, as on record, where this process would have {threads}"
    assert said in (cut / "run.log").read_text()


def test_on_another_torch_it_is_refused_and_nothing_changes(cut, monkeypatch, capfd):
    monkeypatch.setattr(torch, "__version__", "99.0.0")
    before = {path: path.read_bytes() for path in cut.rglob("*") if path.is_file()}
    assert main([*SMALL]) == exit_codes.CONFIG
    said = capfd.readouterr().err
    assert "torch 99.0.0, not " in said
    assert "trainer.resume_elsewhere=true" in said
    assert {path: path.read_bytes() for path in cut.rglob("*") if path.is_file()} == before


def test_where_it_is_asked_for_everything_says_so(cut, monkeypatch, capfd):
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(torch, "__version__", "99.0.0")
        assert main([*SMALL, "trainer.resume_elsewhere=true"]) == exit_codes.DONE
    said = f"went on elsewhere after step 2: torch 99.0.0, not {torch.__version__}"
    assert f"warning: {said}" in capfd.readouterr().err
    assert said in (cut / "run.log").read_text()
    assert [one["from_step"] for one in json.loads((cut / "status.json").read_text())["numerics"]] == [0, 2]
    for command in ("ls", "show"):
        assert lic_exp([command] if command == "ls" else [command, cut.name]) == exit_codes.DONE
        assert said.partition(":")[0] in capfd.readouterr().out


def test_a_run_of_the_former_random_streams_is_refused_or_says_so(cut, capfd):
    status = json.loads((cut / "status.json").read_text())
    del status["numerics"][0]["random_streams"]
    (cut / "status.json").write_text(json.dumps(status))
    assert main([*SMALL]) == exit_codes.CONFIG
    assert "random_streams 2, not 1 (an earlier version of this package" in capfd.readouterr().err
    assert main([*SMALL, "trainer.resume_elsewhere=true"]) == exit_codes.DONE
    assert "went on elsewhere after step 2: random_streams 2, not 1" in (cut / "run.log").read_text()


def test_a_run_without_a_record_goes_on_with_a_warning(trained, cut, capfd):
    status = json.loads((cut / "status.json").read_text())
    del status["numerics"]
    (cut / "status.json").write_text(json.dumps(status))
    assert main([*SMALL]) == exit_codes.DONE
    assert differences(trained[2], cut, 4) == []
    said = "what its first 2 steps were made with is not on record"
    assert f"warning: {said}" in capfd.readouterr().err
    assert said in (cut / "run.log").read_text()
    assert [one["from_step"] for one in RunFolder(cut).status()["numerics"]] == [2]
