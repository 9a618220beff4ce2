"""Sweeps as people start them: interrupted, killed, in trouble, in the background; what is on disk afterwards."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import killing
import pytest
import toy
import yaml
from checkout import ROOT, copy_checkout
from commands import QUICK, called, finish, launch, start
from stores import logged_points, mlflow_points
from sweeping import attempts, shown, sweep_in

from lic_exp import exit_codes
from lic_exp.ablation_spec import experiments, read_table
from lic_exp.pretrained.catalogue import names
from lic_exp.sweeps.folder import FOLDER, SweepFolder, find_sweep
from lic_exp.sweeps.states import states
from lic_exp.tracking.mlflow_store import connect, record_file
from lic_exp.tracking.run_folder import RunFolder

pytestmark = pytest.mark.slow

TOY = (
    *QUICK,
    f"plugins=[{toy.NAME}]",
    "model=toy",
    "data.crop_size=32",
    "debug=limit",
    "trainer.try_step=false",
)
SLOWER = ("trainer.max_steps=300", "trainer.validate_every_steps=20", "trainer.checkpoint_every_steps=20")


def wait_for(reached, seconds=240):
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def count(folder: Path, state: str) -> int:
    return sum(json.loads(path.read_text())["state"] == state for path in folder.glob("runs/*/status.json"))


def at_work(sweep):
    return [one for one in states(sweep).values() if one.state in ("starting", "running")]


def signalled(pids, number):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def test_twelve_cells_on_two_slots_edited_and_killed_meanwhile(toy_folder, tmp_path):
    """While cells wait, every YAML becomes garbage; then the pool dies. No cell changes, none runs twice."""
    copy = copy_checkout(tmp_path / "copy", "lic_exp", "conf", "launch.py")
    command = [str(copy / "launch.py"), "-m", *TOY, "seed=range(0,12)", "hydra.launcher.slots=2"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(copy), str(toy_folder)])}
    say = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}

    def again():
        return subprocess.Popen([sys.executable, *command], cwd=tmp_path, env=environment, **say)

    pool = again()
    try:
        wait_for(lambda: count(tmp_path, "done") >= 2)
        sweep = sweep_in(tmp_path)
        frozen = {cell.signature: json.loads(sweep.frozen(cell).read_text())["config"] for cell in sweep.cells}
        kept = {path: path.read_text() for folder in (copy, toy_folder) for path in folder.rglob("conf/**/*.yaml")}
        for path in kept:
            path.write_text("seed: [nonsense\n")
        wait_for(lambda: count(tmp_path, "done") >= 4 and at_work(sweep))
        # On a busy machine they would end before anybody can attach.
        alive = [sweep.attempt(one.cell)["pid"] for one in at_work(sweep)]
        signalled(alive, signal.SIGSTOP)
    finally:
        pool.kill()
        pool.communicate()
        for path, text in kept.items():
            path.write_text(text)
    assert at_work(sweep), "cells outlive their pool"
    second = again()
    try:
        wait_for(lambda: sweep.pool.get("pid") == second.pid)
    finally:
        signalled(alive, signal.SIGCONT)
    done = finish(second)
    assert done.returncode == exit_codes.DONE, done.stderr
    assert set(shown(sweep).values()) == {"done"}
    assert set(attempts(sweep).values()) == {1}
    for name, config in frozen.items():
        assert yaml.safe_load((sweep.runs / name / "config.yaml").read_text()) == config
    assert "runs already, attached" in done.stderr

    before = {path: path.stat().st_mtime_ns for path in sweep.runs.glob("*/*") if path.is_file()}
    done = finish(again())
    assert done.returncode == exit_codes.DONE
    assert "all 12 cells are done; nothing was started" in done.stderr
    assert {path: path.stat().st_mtime_ns for path in sweep.runs.glob("*/*") if path.is_file()} == before


def test_trouble_is_named_stays_where_it_is_and_is_what_retry_runs(toy_folder, tmp_path):
    troubles = "none,raise,kill,memory,slow,diverge"
    pool = ["hydra.launcher.slots=3", "hydra.launcher.memory_gb=24", "hydra.launcher.time_limit_min=0.55"]
    done = launch("-m", *TOY, "seed=0", f"model.trouble={troubles}", *pool, folder=tmp_path, path=toy_folder)
    assert done.returncode == exit_codes.FAILED, done.stderr
    sweep = sweep_in(tmp_path)
    expected = {"none": "done", "raise": "failed", "kill": "killed", "memory": "out_of_memory"}
    expected |= {"slow": "time_limit", "diverge": "diverged"}
    assert shown(sweep) == {f"model.trouble={trouble}": state for trouble, state in expected.items()}
    found = {one.cell.role["model.trouble"]: one for one in states(sweep).values()}
    codes = {"none": 0, "raise": 1, "kill": -9, "memory": 1, "slow": exit_codes.PREEMPTED, "diverge": 3}
    assert {trouble: one.exit_code for trouble, one in found.items()} == codes
    assert found["raise"].reason == "RuntimeError: the toy broke"
    assert "lower data.batch_size" in found["memory"].reason
    assert "its time limit" in found["slow"].reason
    table = called("lic_exp", "status", folder=tmp_path).stdout
    assert "1 failed: RuntimeError, exit code 1 (model.trouble=raise)" in table
    assert "1 killed, exit code -9 (model.trouble=kill)" in table
    log = called("lic_exp", "logs", sweep.name, "model.trouble=raise", folder=tmp_path).stdout
    assert "RuntimeError: the toy broke" in log

    retried = finish(start("-m", "lic_exp", "retry", sweep.name, folder=tmp_path, path=toy_folder))
    # They go on from the checkpoint of step 2, and trouble comes with the third step of a process.
    assert retried.returncode == exit_codes.DONE, retried.stderr
    assert attempts(sweep) == {f"model.trouble={trouble}": 1 + (trouble != "none") for trouble in expected}
    assert set(shown(sweep).values()) == {"done"}


@pytest.fixture(scope="module")
def requeued(tmp_path_factory):
    """A folder for the trials, and the run they are compared with."""
    folder = tmp_path_factory.mktemp("requeued")
    return folder, killing.finish(folder / "reference", killing.ONE_STAGE)


@pytest.mark.parametrize("how", list(killing.INTERRUPTIONS))
def test_an_interrupted_cell_goes_on_bit_for_bit(requeued, how):
    killing.requeue(*requeued, how, seed=1)


def test_in_the_background_and_waited_for(toy_folder, tmp_path):
    """`detach` returns while cells run; the pool's terminal may go."""
    arguments = ["-m", *TOY, "seed=0,1", "hydra.launcher.detach=true"]
    done = launch(*arguments, folder=tmp_path, path=toy_folder)
    assert done.returncode == exit_codes.DONE, done.stderr
    sweep = sweep_in(tmp_path)
    assert "done" not in shown(sweep).values()
    assert "run by process" in called("lic_exp", "status", folder=tmp_path).stdout
    follower = start(str(ROOT / "launch.py"), "-m", *TOY, "seed=0,1", folder=tmp_path, path=toy_folder)
    waited = called("lic_exp", "wait", "--timeout", "5", folder=tmp_path)
    assert waited.returncode == exit_codes.DONE, waited.stderr
    assert finish(follower).returncode == exit_codes.DONE
    assert set(attempts(sweep).values()) == {1}
    assert "2 done" in (sweep.folder / "pool.log").read_text()


def test_a_chain_starts_each_cell_from_the_weights_of_the_one_before(toy_folder, tmp_path):
    node = {"product": {"criterion.lmbda": [0.01, 0.05]}, "chain": {"key": "criterion.lmbda", "order": [0.05, 0.01]}}
    package = tmp_path / "chained"
    toy.write_package(tmp_path, "chained", {"__init__.py": "", "conf/experiment/down.yaml": ""})
    (package / "conf/experiment/down.yaml").write_text("# @package _global_\n" + yaml.safe_dump({"sweep": node}))
    # A rate so small that weights stay what they were.
    tiny = ["optimizer.lr=1e-30", "optimizer.aux_lr=1e-30", f"plugins=[{toy.NAME},chained]", "seed=0,1"]
    quick = [text for text in TOY if not text.startswith("plugins")]
    path = Path(f"{toy_folder}{os.pathsep}{tmp_path}")
    done = launch("-m", *quick, *tiny, "experiment=down", "hydra.launcher.slots=2", folder=tmp_path, path=path)
    assert done.returncode == exit_codes.DONE, done.stderr
    from lic_exp.training.checkpoint import load_checkpoint

    sweep = sweep_in(tmp_path)
    weights = {
        cell.signature: load_checkpoint(sweep.runs / cell.signature / "checkpoints" / "best.pt")["codec"]
        for cell in sweep.cells
    }
    linked = [cell for cell in sweep.cells if cell.parent]
    assert len(linked) == 2
    for cell in linked:
        assert all(weights[cell.signature][key].allclose(value) for key, value in weights[cell.parent].items())
    first, second = (weights[cell.parent] for cell in linked)
    assert not all(second[key].allclose(value) for key, value in first.items()), "another seed, other weights"


def test_a_launcher_without_m_is_a_sweep_of_one_and_a_foreign_one_gets_overrides(toy_folder, tmp_path):
    done = launch(*TOY, "hydra/launcher=local", folder=tmp_path, path=toy_folder)
    assert done.returncode == exit_codes.DONE, done.stderr
    assert list(shown(sweep_in(tmp_path)).values()) == ["done"]
    done = launch(*TOY, "seed=5", "hydra/launcher=basic", folder=tmp_path, path=toy_folder)
    assert done.returncode == exit_codes.DONE, done.stderr
    done = launch("-m", *TOY, "seed=6,7", "hydra/launcher=basic", folder=tmp_path, path=toy_folder)
    assert done.returncode == exit_codes.DONE, done.stderr
    assert count(tmp_path, "done") == 4
    assert len(list((tmp_path / "runs" / FOLDER).iterdir())) == 1


def test_names_that_mean_something_to_a_shell(toy_folder, tmp_path):
    """As values, and as the folder that everything lies in."""
    name = 'it\'s $(touch hacked); "x" && \u00e9\nnew | line'
    folder = tmp_path / "some where; $(touch hacked) & \u00e9 'q'"
    folder.mkdir()
    from lic_exp.config.overrides import quoted

    done = launch("-m", *TOY, f"name={quoted(name)}", "seed=0", folder=folder, path=toy_folder)
    assert done.returncode == exit_codes.DONE, done.stderr
    (run,) = folder.glob("runs/*/status.json")
    assert json.loads(run.read_text())["name"] == name
    assert not list(tmp_path.rglob("hacked"))
    table = called("lic_exp", "status", folder=folder)
    assert table.returncode == exit_codes.DONE
    assert "done" in table.stdout


def test_eight_cells_at_a_time_and_one_store_lose_no_metric(toy_folder, tmp_path):
    overrides = [text for text in TOY if not text.startswith("tracker")]
    more = ["trainer.max_steps=40", "tracker.mlflow.flush_s=0.2", "tracker.mlflow.finish_timeout_s=120"]
    done = launch(
        "-m", *overrides, *more, "seed=range(0,8)", "hydra.launcher.slots=8", folder=tmp_path, path=toy_folder
    )
    assert done.returncode == exit_codes.DONE, done.stderr
    sweep, uri = sweep_in(tmp_path), f"sqlite:///{tmp_path / 'runs' / 'mlflow.db'}"
    client = connect(uri)
    parents = set()
    for cell in sweep.cells:
        run = RunFolder(sweep.runs / cell.signature)
        assert len(logged_points(run)) > 300
        assert mlflow_points(uri, run) == logged_points(run)
        run_id = json.loads(record_file(run).read_text())["run_id"]
        parents.add(client.get_run(run_id).data.tags["mlflow.parentRunId"])
    (parent,) = parents
    assert client.get_run(parent).info.run_name == sweep.name


@pytest.mark.soak
# From random weights, 20 steps make no curve that a BD-rate could be of.
@pytest.mark.parametrize(("table", "columns"), [("table2", ["BD-rate %"]), ("accelerators", ["speed-up, MACs"])])
def test_a_table_as_one_command_interrupted_and_resumed_fills(tmp_path, table, columns):
    small = [
        f"experiment={table}",
        "scale=mini",
        "table.seeds=[0]",
        "table.aa_seeds=[10]",
        "trainer.max_epochs=5",
        "trainer.threads=1",
        "trainer.try_step=false",
        "trainer.log_every_steps=1",
        "trainer.validate_every_steps=2",
        "scheduler.warmup_steps=0",
        "criterion.validation_rates=4",
        "data=synthetic",
        "data.crop_size=128",
        "data.val_crop_size=64",
        "data.val_limit=1",
        "evaluation.limit=1",
        "evaluation.pictures=0",
        "tracker=none",
    ]
    pool = start(str(ROOT / "launch.py"), "-m", *small, folder=tmp_path)
    wait_for(lambda: count(tmp_path, "done") >= 1 or pool.poll() is not None)
    pool.send_signal(signal.SIGINT)
    stopped = finish(pool)
    assert stopped.returncode == exit_codes.PREEMPTED, stopped.stderr
    sweep = sweep_in(tmp_path)
    assert "waiting" in shown(sweep).values()
    pool = start(str(ROOT / "launch.py"), "-m", *small, folder=tmp_path)
    wait_for(lambda: pool.poll() is not None, seconds=1800)
    done = finish(pool)
    assert done.returncode == exit_codes.DONE, done.stderr
    assert set(shown(sweep).values()) == {"done"}
    assert sweep.manifest["table"]["baseline"] == "naive"
    made = finish(start("-m", "analysis", "ablation", table, "--runs", "runs", folder=tmp_path))
    assert made.returncode == 0, made.stderr
    (page,) = (tmp_path / "tables").glob(f"{table}*.md")
    printed = page.read_text().split("\n\n")[1]
    header, _, *rows = ([text.strip() for text in line.split("|")[1:-1]] for line in printed.splitlines())
    found = {row[0].partition(" (against")[0]: dict(zip(header, row, strict=True)) for row in rows}
    if table == "table2":
        assert all(found["intra-scale"].values()), "a missing cell is blank"
    for variant in read_table(experiments() / f"{table}.yaml").variants.values():
        filled = ["speed-up, steps", "speed-up, seconds", "R + lmbda D %", *columns]
        quality = ("BD-rate %", "R + lmbda D %") if variant.longer > 1 else ()
        measured = [found[variant.label][column] for column in filled if column not in quality]
        # So few steps that a start with more may be there at once, of which one seed knows no bound.
        assert all(re.search(r"\d|at once", text) and "seeds" not in text for text in measured), variant.label


def in_copy(copy, toy_folder, folder, *arguments, command=None):
    """`python launch.py -m ...`, or another command of python, with the code of a copy of the checkout."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(copy), str(toy_folder)])}
    words = [str(copy / "launch.py"), "-m", *TOY, *arguments] if command is None else command
    return subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_code_that_changed_is_shown_and_a_snapshot_does_not_change(toy_folder, tmp_path):
    copy = copy_checkout(tmp_path / "copy", "lic_exp", "conf", "launch.py")
    kept = in_copy(copy, toy_folder, tmp_path, "seed=0,1", "hydra.launcher.snapshot=true", "paths.runs=kept")
    plain = in_copy(copy, toy_folder, tmp_path, "seed=0,1", "paths.runs=plain")
    assert (kept.returncode, plain.returncode) == (0, 0), kept.stderr + plain.stderr
    frozen = find_sweep(None, str(tmp_path / "kept")).copy
    assert all((frozen / "lic_exp" / "pretrained" / f"{name}.pt").is_file() for name in names())

    source = copy / "lic_exp" / "training" / "trainer.py"
    source.write_text(source.read_text().replace('"""', '"""Another word. ', 1))
    again = in_copy(copy, toy_folder, tmp_path, "seed=0,1", "paths.runs=plain")
    assert "stale" not in again.stderr, "a docstring computes nothing"
    (copy / "lic_exp" / "models" / "another.py").write_text("ANOTHER = 1\n")
    again = in_copy(copy, toy_folder, tmp_path, "seed=0,1", "paths.runs=plain")
    assert "stale" not in again.stderr, "nor does another model"
    source.write_text(source.read_text().replace("class Trainer:", "class Trainer:\n    ANOTHER = 1\n"))
    again = in_copy(copy, toy_folder, tmp_path, "seed=0,1", "paths.runs=plain")
    assert "2 cells are stale" in again.stderr
    refused = in_copy(copy, toy_folder, tmp_path, "seed=0,1", "paths.runs=plain", "trainer.stale=refuse")
    assert refused.returncode == exit_codes.CONFIG
    assert "trainer.stale=refuse: sweep" in refused.stderr
    listed = in_copy(copy, toy_folder, tmp_path, command=["-m", "lic_exp", "ls", "--runs", "plain"])
    assert "2 of these are stale: made by other code than there is now" in listed.stdout
    assert set(shown(find_sweep(None, str(tmp_path / "plain"))).values()) == {"done"}, "by the code of this process"
    anew = in_copy(copy, toy_folder, tmp_path, "seed=0,1", "paths.runs=plain", "trainer.stale=again")
    assert anew.returncode == exit_codes.DONE, anew.stderr
    assert "stale" not in in_copy(copy, toy_folder, tmp_path, "seed=0,1", "paths.runs=plain").stderr

    source.write_text("raise RuntimeError('broken meanwhile')\n")
    again = in_copy(copy, toy_folder, tmp_path, "seed=0,1", "hydra.launcher.snapshot=true", "paths.runs=kept")
    assert "cells are stale" not in again.stderr
    assert "runs its own copy of the code, which is other than there is now" in again.stderr
    sweep = find_sweep(None, str(tmp_path / "kept"))
    for cell in sweep.cells:
        (sweep.runs / cell.signature / "status.json").unlink()
    again = in_copy(copy, toy_folder, tmp_path, "seed=0,1", "hydra.launcher.snapshot=true", "paths.runs=kept")
    assert again.returncode == exit_codes.DONE, again.stderr
    assert set(attempts(sweep).values()) == {1}, "they ran anew, by the copy"


def test_a_search_goes_on_where_it_was(toy_folder, tmp_path):
    axes = ["optimizer.lr=tag(log,interval(1e-4,1e-2))", "hydra/sweeper=search", "hydra.launcher.slots=2"]
    runs = {}
    for trials in (2, 4):
        done = launch("-m", *TOY, *axes, f"hydra.sweeper.trials={trials}", folder=tmp_path, path=toy_folder)
        assert done.returncode == exit_codes.DONE, done.stderr
        assert f"best of {trials} trials: val/rd_loss" in done.stderr
        (folder,) = (tmp_path / "runs" / FOLDER).iterdir()
        runs[trials] = [trial["values"]["optimizer.lr"] for trial in SweepFolder(folder).manifest["trials"]]
    assert runs[4][:2] == runs[2]
    assert len(set(runs[4])) == 4
    assert all(1e-4 <= lr <= 1e-2 for lr in runs[4])
    assert set(attempts(SweepFolder(folder)).values()) == {1}


def test_plan_shows_and_starts_nothing(toy_folder, tmp_path):
    grid = ["seed=0,1", "spectral_reg=none,intra", "plan=true"]
    done = launch("-m", *TOY, *grid, folder=tmp_path, path=toy_folder)
    assert done.returncode == exit_codes.DONE, done.stderr
    assert "4 cells, 4 to run: 0.0 min of computing, and 4 of unknown length" in done.stdout
    assert "spectral_reg=IntraScale, seed=1" in done.stdout
    assert not (tmp_path / "runs").exists()
    over = launch("-m", *TOY, *grid, "hydra.launcher.budget_min=100", folder=tmp_path, path=toy_folder)
    assert over.returncode == exit_codes.FAILED
    called("launch.py", *TOY, "seed=0", folder=tmp_path)
    within = launch(
        "-m", *TOY, "seed=0,1", "plan=true", "hydra.launcher.budget_min=100", folder=tmp_path, path=toy_folder
    )
    assert within.returncode == exit_codes.DONE, within.stdout
    assert "2 cells, 1 to run" in within.stdout
    assert "by finished runs of the same kind" in within.stdout
    probed = [*grid[1:], "hydra.launcher.probe_steps=3", "paths.runs=elsewhere"]
    measured = launch("-m", *TOY, *probed, folder=tmp_path, path=toy_folder)
    assert "by measured steps" in measured.stdout
    assert "of unknown length" not in measured.stdout


@pytest.mark.usefixtures("toy_folder")
def test_from_python(tmp_path, monkeypatch):
    import lic_exp as package

    monkeypatch.chdir(tmp_path)
    sweep = package.sweep([*TOY, "seed=0,1", "model.trouble=none,raise"], slots=2)
    status = sweep.status()
    assert list(status["state"]) == ["done", "failed", "done", "failed"]
    assert list(status["seed"]) == [0, 0, 1, 1]
    assert sweep.wait() == exit_codes.FAILED
    assert sweep.runs["seed=0, model.trouble=none"].metrics["train/loss"].notna().sum() == 4
    assert list(package.plan([*TOY, "seed=0,1"])["state"]) == ["done", "done"]
    assert [one.folder.name for one in package.list_sweeps()] == [sweep.folder.name]
