"""The commands as people type them, from the outside; what they leave on disk is looked at afterwards."""

import json
import math
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
import toy
import yaml
from checkout import ROOT
from commands import HEAVY, QUICK, called, finish, launch, probe, start

from lic_exp import exit_codes
from lic_exp.__main__ import main as verb
from lic_exp.cli.launch import main
from lic_exp.tracking import names
from lic_exp.tracking.run_folder import RunFolder

REFUSED = {
    "optimizer.lrr=1": ["optimizer.lrr: there is no such key. Did you mean optimizer.lr? Valid keys of optimizer: "],
    "+typo=1": ["typo: there is no such key. Valid keys: schema_version, seed, "],
    "++optimizer.lrr=1": ["optimizer.lrr: there is no such key. Did you mean optimizer.lr?"],
    "spectral_reg=intra spectral_reg.tau_init=2": ["spectral_reg.tau_init=2: should be less than or equal to 1"],
    "criterion.lmbda_max=-1": ["criterion.lmbda_max=-1: should be greater than 0"],
    "model=hyperprior criterion.lmbda=64": ["write criterion.lmbda=0.000984237, which is 64 / 255^2"],
    "model=nosuch": ["model=nosuch: model has no option 'nosuch'. Valid: box, cheng2020_anchor, "],
    "optimizer.lr=abc": ["optimizer.lr=abc: should be a number"],
    "optimizer.lrr=1 criterion.lmbda_max=-1": ["optimizer.lrr: there is no such key", "criterion.lmbda_max=-1: "],
    "model=nosuch optimizer.lr=abc": ["model=nosuch: ", "optimizer.lr=abc: "],
}


class Refusals(NamedTuple):
    """What came of every command line above, then of the same with `--cfg job`; `folder` is where they were typed."""

    codes: list[int]
    loaded: list[list[str]]
    reports: list[str]
    folder: Path


@pytest.fixture(scope="module")
def refusals(tmp_path_factory):
    """All in one process."""
    folder = tmp_path_factory.mktemp("refusals")
    lines = [line.split() for line in REFUSED]
    seen, output = probe(*lines, *[[*line, "--cfg", "job"] for line in lines], folder=folder)
    reports = output.split(" in this config; nothing was started.\n")[1:]
    return Refusals([code for code, _ in seen], [modules for _, modules in seen], reports, folder)


def test_wrong_commands_end_with_exit_code_2(refusals):
    assert refusals.codes == [exit_codes.CONFIG] * 2 * len(REFUSED)


def test_refusing_loads_nothing_heavy(refusals):
    assert refusals.loaded == [[]] * 2 * len(REFUSED)


def test_every_refusal_says_what_would_be_right(refusals):
    for report, expected in zip(refusals.reports, [*REFUSED.values()] * 2, strict=True):
        for number, message in enumerate(expected, 1):
            assert f"  {number}. " in report
            assert message in report
        assert f"  {len(expected) + 1}. " not in report


def test_refusing_leaves_nothing_on_disk(refusals):
    assert not list(refusals.folder.iterdir())


def test_help_and_cfg_load_nothing_heavy_and_leave_nothing(tmp_path):
    """`--help` ends its process, so it comes last."""
    seen, output = probe(["--cfg", "job", "optimizer.lr=3e-4"], ["--help"], folder=tmp_path)
    assert seen == [(exit_codes.DONE, []), (exit_codes.DONE, [])]
    assert "lr: 0.0003" in output
    assert "python launch.py model=hyperprior optimizer.lr=3e-4" in output
    assert "mean_scale_hyperprior_tiny" in output
    assert not list(tmp_path.iterdir())


def test_importing_the_package_loads_nothing_heavy(tmp_path):
    code = (
        f"import sys, lic_exp; dir(lic_exp); lic_exp.list_models(); print([m for m in {HEAVY!r} if m in sys.modules])"
    )
    done = finish(start("-c", code, folder=tmp_path))
    assert done.stdout == "[]\n", done.stderr


def test_what_is_shown_or_refused_loads_neither_sweeps_nor_runs(tmp_path):
    code = (
        "import sys; from lic_exp.cli.launch import main; main(sys.argv[1:]);"
        "print([m for m in sys.modules if m.startswith(('lic_exp.sweeps', 'lic_exp.runs', 'rich', 'sqlite3'))])"
    )
    for arguments in (["--cfg", "job"], ["optimizer.lrr=1"], ["model=nosuch"]):
        done = finish(start("-c", code, *arguments, folder=tmp_path))
        assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_hydras_own_overrides_of_a_single_run_count(tmp_path):
    overrides = [*QUICK, "model=factorized_tiny", "trainer.max_steps=1", "hydra.job.chdir=true", "hydra.run.dir=there"]
    done = called("launch.py", *overrides, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.glob("there/runs/*/config.yaml"))


def test_the_model_decides_about_the_criterion_also_where_hydra_shows_the_config(tmp_path):
    shown = launch("model=hyperprior", "--cfg", "all", folder=tmp_path)
    assert "_target_: lic_exp.training.criterion.MSE" in shown.stdout, shown.stderr


def test_a_run_leaves_its_whole_record(small_run):
    config = yaml.safe_load((small_run / "config.yaml").read_text())
    status = json.loads((small_run / "status.json").read_text())
    environment = json.loads((small_run / "environment.json").read_text())
    assert config["model"]["N"] == 32
    assert config["spectral_reg"]["truncation_length"] == 1
    assert status["state"] == "done"
    assert status["step"] == status["max_steps"] == 4
    assert status["attempt"] == 1
    assert status["device"] == "cpu"
    assert {"host", "pid", "heartbeat", "reason", "name"} <= set(status)
    assert environment["packages"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert "name=small" in environment["overrides"]
    assert (small_run / "checkpoints" / "best.pt").exists()
    assert (small_run / "checkpoints" / "step_00000004.pt").exists()
    for picture in ("radial_masks.png", "frequency_truncation_progression.png"):
        assert (small_run / "artifacts" / picture).stat().st_size > 0
    assert {path.name for path in (small_run / "eval").iterdir()} >= {"images.csv", "evaluation.json", "rd_point.json"}
    assert len(list((small_run / "eval").glob("*.png"))) == 1


def test_a_run_makes_no_other_files(small_run):
    """Hydra would write outputs/ and multirun/, MLflow mlruns/."""
    assert [path.name for path in small_run.parent.parent.iterdir()] == ["runs"]
    assert [path.name for path in small_run.parent.iterdir()] == [small_run.name]


def test_every_logged_metric_has_a_known_name(small_run):
    constants = {value for key, value in vars(names).items() if key.isupper() and isinstance(value, str)}
    known = constants | {names.train(term) for term in ("mse_loss", "y_bpp", "z_bpp", "aux_loss")}
    known |= {names.val_latent_bpp(latent) for latent in "yz"}
    known |= {names.train_grad_norm(group) for group in ("net", "aux")} | {"step", "epoch", "time"}
    logged = {name for entry in RunFolder(small_run).metrics() for name in entry}
    assert logged - known == set()
    assert {
        names.TRAIN_LOSS,
        names.TRAIN_BPP_LOSS,
        names.train("mse_loss"),
        names.TRAIN_PSNR,
        names.TRAIN_LR,
        names.train_grad_norm("net"),
        names.train("y_bpp"),
        names.train("z_bpp"),
        names.VAL_RD_LOSS,
        names.VAL_BPP_LOSS,
        names.VAL_PSNR,
        names.VAL_MS_SSIM,
        names.SPECTRAL_TAU,
        names.SPECTRAL_PHASE,
    } <= logged


def test_the_regularizer_follows_its_schedule(small_run):
    """One epoch of two steps is truncated, the next is not."""
    logged = [entry for entry in RunFolder(small_run).metrics() if names.SPECTRAL_TAU in entry]
    assert [entry[names.SPECTRAL_TAU] for entry in logged] == [0.05, 0.05, 1.0, 1.0]
    assert [entry[names.SPECTRAL_PHASE] for entry in logged] == [1, 1, 0, 0]


def test_the_same_command_again_finds_the_finished_run(small_run, monkeypatch, capfd):
    monkeypatch.chdir(small_run.parent.parent)
    before = {path: path.stat().st_mtime_ns for path in small_run.rglob("*")}
    overrides = json.loads((small_run / "environment.json").read_text())["overrides"]
    assert main([*overrides, "tags=[again]", "data.num_workers=1"]) == exit_codes.DONE
    said = capfd.readouterr()
    assert f"run {small_run.name} is done already; nothing was started." in said.err
    assert "mean of 2 images, real bitstreams" in said.out
    assert {path: path.stat().st_mtime_ns for path in small_run.rglob("*")} == before


def test_eval_codes_a_folder_of_images(small_run, photos, monkeypatch, capfd):
    monkeypatch.chdir(small_run.parent.parent)
    assert verb(["eval", small_run.name[:6], "--data", str(photos / "val")]) == exit_codes.DONE
    said = capfd.readouterr().out
    assert "c.png" in said
    assert "odd.png" in said
    (found,) = small_run.glob("eval/val-*/evaluation.json")
    results = json.loads(found.read_text())
    assert results["exact"] is True
    assert [(row["image"], row["height"], row["width"]) for row in results["rows"]] == [
        ("c.png", 64, 64),
        ("odd.png", 67, 101),
    ]
    for row in results["rows"]:
        assert row["bpp"] > 0
        assert math.isfinite(row["psnr"])
        assert row["ms_ssim"] is None, "images under 161 pixels have none"


def test_eval_of_what_is_not_there(small_run):
    done = called("lic_exp", "eval", "ffff", folder=small_run.parent.parent)
    assert done.returncode == exit_codes.CONFIG
    assert f"there is no run ffff in runs, nor a run folder of that path. It has: {small_run.name}" in done.stderr


def test_run_from_python_finds_the_same_run(small_run, monkeypatch, capfd):
    import lic_exp

    monkeypatch.chdir(small_run.parent.parent)
    overrides = json.loads((small_run / "environment.json").read_text())["overrides"]
    run = lic_exp.run(overrides, quiet=True)
    assert capfd.readouterr() == ("", "")
    assert run.folder.resolve() == small_run.resolve()
    assert run.status["state"] == "done"
    assert run.metrics["train/loss"].notna().sum() == 4
    assert set(run.evaluation["image"]) == {row["image"] for row in _evaluation(small_run)["rows"]}


def _evaluation(run):
    return json.loads((run / "eval" / "evaluation.json").read_text())


@pytest.fixture(scope="module", params=["toy", pytest.param("hyperprior_tiny", marks=pytest.mark.slow)])
def by_workers(request, toy_folder, tmp_path_factory):
    """The same command with 0, 1 and 2 loader workers: the folders of the three runs.

    In fresh processes at the same time, or one after another in this one.
    """
    overrides = [
        *QUICK,
        f"plugins=[{toy.NAME}]",
        f"model={request.param}",
        "data=bundled",
        "data.batch_size=2",
        "data.crop_size=64",
        "trainer.max_steps=5",
        "trainer.log_every_steps=1",
        "trainer.validate_every_steps=2",
    ]
    folders = [tmp_path_factory.mktemp(f"workers{workers}") for workers in range(3)]
    commands = [[*overrides, f"data.num_workers={workers}"] for workers in range(3)]
    if request.param == "toy":
        ended = [called("launch.py", *words, folder=folder) for words, folder in zip(commands, folders, strict=True)]
    else:
        running = [
            start(str(ROOT / "launch.py"), *words, folder=folder, path=toy_folder)
            for words, folder in zip(commands, folders, strict=True)
        ]
        ended = [finish(process) for process in running]
    for done in ended:
        assert done.returncode == exit_codes.DONE, done.stderr
    return [next(folder.glob("runs/*/")) for folder in folders]


def test_loader_workers_do_not_change_the_name(by_workers):
    assert len({run.name for run in by_workers}) == 1


def test_loader_workers_do_not_change_a_bit_of_the_weights(by_workers):
    for file in ("checkpoints/step_00000005.pt", "checkpoints/best.pt"):
        first, *others = (torch.load(run / file, weights_only=True)["codec"] for run in by_workers)
        for other in others:
            assert first.keys() == other.keys()
            assert all(torch.equal(first[key], other[key]) for key in first)


def test_loader_workers_do_not_change_a_metric(by_workers):
    clock = {"time", names.TRAIN_IMAGES_PER_S}
    first, *others = (
        [{key: value for key, value in entry.items() if key not in clock} for entry in RunFolder(run).metrics()]
        for run in by_workers
    )
    assert len(first) == 8, "five training steps and three validations"
    assert others == [first, first]


@pytest.mark.usefixtures("toy_folder")
def test_a_package_of_ones_own_trains_and_is_evaluated(tmp_path):
    """Codec and regularizer from outside, the regularizer's weight with its optimizer group."""
    plugin = [f"plugins=[{toy.NAME}]", "model=toy_pyramid", "spectral_reg=toy_pair", "evaluation.enabled=true"]
    done = called("launch.py", *QUICK, *plugin, "trainer.max_steps=4", folder=tmp_path)
    assert done.returncode == exit_codes.DONE, done.stderr
    (run,) = tmp_path.glob("runs/*/")
    saved = torch.load(run / "checkpoints" / "step_00000004.pt", weights_only=True)
    assert saved["regularizers"]["spectral_reg.gain"] != 2.0
    assert not [key for key in saved["codec"] if "gain" in key]
    logged = {name for entry in RunFolder(run).metrics() for name in entry}
    assert names.train("spectral_reg_penalty") in logged
    assert _evaluation(run)["exact"] is True


def toy_run(folder, monkeypatch, *overrides):
    """Exit code and run folder of a toy run in this process."""
    monkeypatch.chdir(folder)
    chosen = [f"plugins=[{toy.NAME}]", "model=toy", "trainer.max_steps=5", "trainer.try_step=false"]
    code = main([*QUICK, *chosen, *overrides])
    (config,) = folder.glob("runs/*/config.yaml")
    run = config.parent
    return code, RunFolder(run)


@pytest.mark.usefixtures("toy_folder")
def test_a_run_that_breaks_says_so(tmp_path, monkeypatch, capfd):
    code, run = toy_run(tmp_path, monkeypatch, "model.trouble=raise")
    assert code == exit_codes.FAILED
    assert run.status()["state"] == "failed"
    assert run.status()["reason"] == "RuntimeError: the toy broke"
    log = run.log.read_text()
    assert "Traceback (most recent call last)" in log
    assert 'raise RuntimeError("the toy broke")' in log
    assert "the toy broke" in capfd.readouterr().err


@pytest.mark.usefixtures("toy_folder")
def test_a_run_that_diverges_says_so_and_where(tmp_path, monkeypatch, capfd):
    code, run = toy_run(tmp_path, monkeypatch, "model.trouble=diverge")
    assert code == exit_codes.DIVERGED
    assert run.status()["state"] == "diverged"
    assert run.status()["reason"].startswith("loss and gradient norm of net not finite in the step after 2; images: ")
    assert "loss and gradient norm of net not finite in the step after 2" in capfd.readouterr().err


@pytest.mark.usefixtures("toy_folder")
def test_a_failed_run_is_tried_again(tmp_path, monkeypatch):
    toy_run(tmp_path, monkeypatch, "model.trouble=raise")
    code, run = toy_run(tmp_path, monkeypatch, "model.trouble=raise")
    assert code == exit_codes.FAILED
    assert run.status()["attempt"] == 2


@pytest.mark.usefixtures("toy_folder")
def test_what_only_building_finds_wrong_is_a_message_too(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    wrong = ["optimizer=sgd", "optimizer.momentum=0"]
    assert main([*QUICK, f"plugins=[{toy.NAME}]", "model=toy", *wrong]) == exit_codes.CONFIG
    assert "1. optimizer: nesterov needs momentum > 0" in capfd.readouterr().err
