"""What a search judges before it starts, and what it does with values that it must not take."""

import json

import pytest
import toy
from made_runs import write_run

from lic_exp import exit_codes
from lic_exp.cli.launch import main
from lic_exp.config.validation import validate
from lic_exp.runs.removal import FORMER
from lic_exp.sweeps import search as searching
from lic_exp.sweeps.folder import FOLDER, SweepFolder

COMMON = (f"plugins=[{toy.NAME}]", *toy.SHORT_RUN, "data.batch_size=4", "evaluation.enabled=false")


@pytest.fixture
def trained(toy_folder, tmp_path, monkeypatch):
    """The values of the cells that a search had run, in an empty working folder; nothing is trained."""
    found = []

    def made_up(sweep, options, cells):
        for cell in cells:
            config = validate(json.loads(sweep.frozen(cell).read_text())["config"])
            write_run(sweep.run(cell).folder, config, "done", best=1.0 + len(found))
            found.append(dict(cell.role))
        return exit_codes.DONE

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(searching, "run_sweep", made_up)
    return found


def searched(*given, trials=6):
    return main(["-m", "hydra/sweeper=search", f"hydra.sweeper.trials={trials}", *COMMON, *given])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["optimizer.lr=interval(0,1)"], "optimizer.lr=0.0: should be greater than 0"),
        (["trainer.ema_decay=interval(0.5,1.5)"], "trainer.ema_decay=1.5: should be less than 1"),
        (["trainer.ema_decay=interval(-0.5,0.5)"], "trainer.ema_decay=-0.5: should be greater than"),
        (["optimizer.lr=1e-4,1e-3,-1"], "optimizer.lr=-1: should be greater than 0"),
        (["optimizer.eps=tag(log,interval(1e-12,1e-3))", "optimizer.lr=interval(-1,1)"], "optimizer.lr=-1.0: should"),
        (["trainer.accumulate=interval(1.5,4)"], "trainer.accumulate=1.5: should be a whole number"),
        (["trainer.accumulate=tag(int,interval(0,4))"], "trainer.accumulate=0: should be greater than or equal to 1"),
        (["trainer.accumulate=tag(int,interval(1,3.5))"], "an interval of whole numbers has ends that are whole"),
        (["trainer.accumulate=range(1,4)"], "trainer.accumulate=3 must divide data.batch_size=4"),
        (["spectral_reg=none", "spectral_reg.tau_init=interval(0.1,0.2)"], "spectral_reg.tau_init: there is no"),
        (
            ["spectral_reg=none,intra", "spectral_reg.tau_init=interval(0.1,2.0)"],
            "spectral_reg.tau_init=2.0: should be",
        ),
        (["optimizer=interval(0,1)"], "optimizer is a group of options, and an interval is of numbers"),
        (["optimizer=glob(*)"], "glob(...) is not known here: name the values, optimizer=A,B"),
        (["seed=range(0,1000000000000)"], "that is 1000000000000 values, and 20000 are the most"),
        (["seed=range(0,5,0)"], "a range goes by steps from a finite number towards another"),
        (["optimizer.lr=interval(1,inf)"], "an interval has two ends that are finite numbers"),
        (["optimizer.lr=interval(nan,1)"], "an interval goes from a lower to a higher number"),
        (["optimizer.lr=interval(0.1,0.2)", "optimizer.lr=0.1"], "optimizer.lr is given twice"),
        (["experiment=tau_init", "seed=interval(0,9)"], "this experiment has a table of them"),
        (["experiment=demo,tau_init"], "experiment=tau_init has a table of runs: name it alone"),
        (["optimizer.no=interval(1,2)"], "optimizer.no: there is no such key"),
    ],
)
def test_what_could_be_drawn_is_judged_before_anything_starts(given, message, trained, tmp_path, capsys):
    assert searched(*given) == exit_codes.CONFIG
    assert message in capsys.readouterr().err
    assert trained == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("axis", "key"),
    [
        ("criterion.lmbda=interval(0.002,0.05)", "criterion.lmbda"),
        ("criterion.lmbda=tag(log,interval(0.002,0.05))", "criterion.lmbda"),
        ("criterion.lmbda=0.002,0.05", "criterion.lmbda"),
        ("criterion=mse,ms_ssim", "criterion._target_"),
        ("data.val_limit=1,2", "data.val_limit"),
    ],
)
@pytest.mark.parametrize("beside", [[], ["optimizer.lr=interval(1e-4,1e-3)"]])
def test_trials_whose_losses_mean_different_things_are_not_ranked(axis, key, beside, trained, tmp_path, capsys):
    assert searched(axis, *beside, "data.crop_size=192") == exit_codes.CONFIG
    assert (
        f"{key}: a search ranks its trials by val/rd_loss, which measures something else at" in capsys.readouterr().err
    )
    assert trained == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("axis", "kind", "low", "high"),
    [
        ("seed=interval(3,900)", int, 3, 900),
        ("seed=tag(log,interval(3,900))", int, 3, 900),
        ("model.channels=tag(int,interval(4,8))", int, 4, 8),
        ("optimizer.lr=interval(1,2)", float, 1, 2),
        ("optimizer.lr=tag(int,interval(1,9))", int, 1, 9),
        ("optimizer.lr=tag(log,interval(1e-4,1e-2))", float, 1e-4, 1e-2),
    ],
)
def test_an_option_in_whole_numbers_is_drawn_in_whole_numbers(axis, kind, low, high, trained):
    assert searched(axis) == exit_codes.DONE
    key = axis.partition("=")[0]
    assert {type(values[key]) for values in trained} == {kind}
    assert all(low <= values[key] <= high for values in trained)


def test_values_that_only_together_are_wrong_are_trials_without_a_result(trained, tmp_path, capsys):
    # Both ends divide the batch of 4, and 3, between them, does not.
    axis = "trainer.accumulate=interval(1,4)"
    assert searched(axis, trials=12) == exit_codes.DONE
    said = capsys.readouterr().err
    assert "trainer.accumulate=3, is refused and has no result: trainer.accumulate=3 must divide" in said
    assert {values["trainer.accumulate"] for values in trained} == {1, 2, 4}
    (folder,) = (tmp_path / "runs" / FOLDER).iterdir()
    sweep = SweepFolder(folder)
    assert [dict(cell.role) for cell in sweep.cells] == trained, "the cells stand in the order of their trials"
    trials = sweep.manifest["trials"]
    assert len(trials) == 12
    assert {trial["values"]["trainer.accumulate"] for trial in trials if trial["signature"] is None} == {3}
    assert searched(axis, trials=14) == exit_codes.DONE, "it goes on, and is stuck nowhere"
    assert SweepFolder(folder).manifest["trials"][:12] == trials


def test_two_proposals_that_are_one_run_are_one_cell(trained, tmp_path):
    assert searched("data.num_workers=interval(0,8)", "hydra.sweeper.batch=4", trials=8) == exit_codes.DONE
    assert len(trained) == 1
    (folder,) = (tmp_path / "runs" / FOLDER).iterdir()
    assert len(SweepFolder(folder).manifest["trials"]) == 8


def test_what_is_wrong_without_the_values_is_no_trial(trained, tmp_path, monkeypatch, capsys):
    """Images that go while a search is at work refuse every proposal, and use up none."""
    real = searching.freeze
    later = []

    def images_gone(asked, given, **more):
        later.append(None)
        if len(later) > 3:
            raise searching.ConfigError(["data.train is gone"])
        return real(asked, given, **more)

    monkeypatch.setattr(searching, "freeze", images_gone)
    assert searched("seed=interval(0,9999)") == exit_codes.CONFIG
    assert "data.train is gone" in capsys.readouterr().err
    (folder,) = (tmp_path / "runs" / FOLDER).iterdir()
    assert len(SweepFolder(folder).manifest["trials"]) == len(trained) == 2


@pytest.mark.parametrize("number", [2**64, 10**30])
@pytest.mark.parametrize(
    "key", ["sweeper.trials", "sweeper.batch", "sweeper.seed", "launcher.slots", "launcher.threads"]
)
def test_how_many_and_from_where_has_bounds(key, number, trained, tmp_path, capsys):
    assert searched("optimizer.lr=interval(0.1,0.2)", f"hydra.{key}={number}") == exit_codes.CONFIG
    said = capsys.readouterr().err
    assert f"hydra.{key}" in said
    assert "at most" in said or "less than or equal to" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("key", ["slots", "threads"])
def test_a_pool_has_no_more_places_than_a_machine_could_have(key, trained, tmp_path, capsys):
    assert main(["-m", *COMMON, "seed=1,2", f"hydra.launcher.{key}={10**18}"]) == exit_codes.CONFIG
    assert f"hydra.launcher.{key}={10**18}: should be less than or equal to 1024" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("stale", ["again", "refuse"])
def test_what_a_search_has_made_itself_it_does_not_judge_anew(trained, stale, tmp_path):
    """Edited meanwhile, its code is another; here nothing says which it was."""
    given = ["optimizer.lr=interval(0.1,0.2)", "hydra.sweeper.batch=2", f"trainer.stale={stale}"]
    assert searched(*given) == exit_codes.DONE
    assert len(trained) == 6
    assert not (tmp_path / "runs" / FORMER).exists()
    if stale == "refuse":
        assert searched(*given) == exit_codes.CONFIG
    else:
        assert searched(*given) == exit_codes.DONE
    assert len(trained) == (12 if stale == "again" else 6)
