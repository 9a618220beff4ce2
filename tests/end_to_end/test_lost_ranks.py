"""Whatever befalls one of several ranks, the run ends on all of them in time, says why, and goes on bit-equal."""

import json
import shutil
from pathlib import Path

import killing
import losing_ranks
import pytest

from lic_exp import exit_codes
from lic_exp.cli.launch import main
from lic_exp.tracking.run_folder import RunFolder

IN_CI = list(losing_ranks.HARMS)[:3]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return killing.finish(tmp_path_factory.mktemp("ranks") / "reference", losing_ranks.OVERRIDES)


@pytest.mark.slow
@pytest.mark.parametrize("how", IN_CI)
def test_what_befalls_a_rank_ends_all(reference, tmp_path, how):
    losing_ranks.trial(tmp_path, reference, how, seed=1)


@pytest.mark.slow
def test_another_number_of_ranks_is_refused_unless_it_is_asked_for(reference, tmp_path, capsys):
    runs = tmp_path / "runs"
    run = Path(shutil.copytree(reference, runs / reference.name))
    (run / "checkpoints" / f"step_{killing.MAX_STEPS:08d}.pt").unlink()
    (step,) = [int(path.stem.removeprefix("step_")) for path in run.glob("checkpoints/step_*.pt")]
    RunFolder(run).update_status(state="preempted")
    alone = [*killing.OVERRIDES, *killing.ONE_STAGE, f"paths.runs={runs}"]
    assert main(alone) == exit_codes.CONFIG
    assert "world_size 1, not 2" in capsys.readouterr().err
    assert main([*alone, "trainer.resume_elsewhere=true"]) == exit_codes.DONE
    assert [record["world_size"] for record in RunFolder(run).status()["numerics"]] == [2, 1]
    logs = [(folder / "metrics.jsonl").read_text().splitlines() for folder in (reference, run)]
    whole, other = ([json.loads(line) for line in log] for log in logs)
    pairs = [(one, two) for one, two in zip(whole, other, strict=True) if one["step"] > step and "train/loss" in one]
    assert pairs, "the same samples, rates and noise, and so the same losses but for rounding"
    for one, two in pairs:
        assert two["train/loss"] == pytest.approx(one["train/loss"], rel=1e-4)


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("how", losing_ranks.HARMS)
def test_ten_of_ten(reference, tmp_path, how):
    for seed in range(10):
        print(losing_ranks.trial(tmp_path, reference, how, seed))
