"""Steps that a device skips by itself, which the host hears of later."""

import pytest
from training_parts import loader, objective, stage, step_options, trainer, unequal
from whole_trainings import nonfinite, weights_by_step

from lic_exp.optimizers import factories
from lic_exp.tracking import names
from lic_exp.training import trainer as trainer_module
from lic_exp.training.stepper import NonFiniteError, Stepper


@pytest.fixture
def gated(monkeypatch):
    """The way of a GPU, taken on the CPU, whose fused kernels can skip a step too."""

    class Gated(Stepper):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            assert self.optimizers.can_skip
            self.gated = True

    monkeypatch.setattr(trainer_module, "Stepper", Gated)
    monkeypatch.setattr(factories, "kernel", lambda params: {"fused": True})


@pytest.mark.usefixtures("gated")
def test_what_the_device_skips_is_noticed_with_the_log(tmp_path, caplog):
    run = nonfinite(tmp_path, on_nonfinite="skip", log_every_steps=5, checkpoint_every_steps=100)
    seen = weights_by_step(run)
    assert unequal(seen[3], seen[4]) == []
    assert unequal(seen[4], seen[5]) != []
    assert run.skipped == {4}
    images = next(loader().batches(4)).names
    assert f"not finite in the step after 4; images: {images[0]}, {images[1]}; skipped (1 of at most 3)" in caplog.text
    logged = [entry for entry in run.reporter.entries if names.TRAIN_LR in entry]
    assert [(entry["step"], names.TRAIN_LOSS in entry) for entry in logged] == [(5, False), (10, True)]


@pytest.mark.usefixtures("gated")
def test_what_the_device_skipped_is_noticed_before_a_stage_ends(tmp_path):
    """Nothing else is due by then, and the next stage has a stepper of its own."""
    of = objective()
    stages = [stage(of, 5, batches=loader(bad_steps=(4,))), stage(of, 5)]
    often = {"log_every_steps": 100, "validate_every_steps": 100, "checkpoint_every_steps": 100}
    with pytest.raises(NonFiniteError, match="in the step after 4; "):
        trainer(tmp_path, of, stages, **often).fit()


@pytest.mark.usefixtures("gated")
def test_no_checkpoint_is_written_of_a_step_that_failed_on_the_device(tmp_path):
    run = nonfinite(tmp_path, log_every_steps=100)
    with pytest.raises(NonFiniteError):
        run.fit()
    assert [path.name for path in run.checkpoints.steps()] == ["step_00000002.pt", "step_00000004.pt"]


@pytest.mark.usefixtures("gated")
def test_a_rollback_on_the_device_is_that_of_the_cpu(tmp_path):
    """It comes later there, when all else that was made since the checkpoint is made again."""
    run = nonfinite(tmp_path / "late", bad=(4,), on_nonfinite="rollback", log_every_steps=7, checkpoint_every_steps=3)
    run.fit()
    steps = [entry["step"] for entry in run.reporter.entries if names.TRAIN_LR in entry]
    assert (run.skipped, steps) == ({4}, [7, 10])
    soon = nonfinite(tmp_path / "soon", bad=(4,), on_nonfinite="rollback", log_every_steps=1, checkpoint_every_steps=3)
    soon.fit()
    weights = [dict(one.objective.codec.state_dict()) for one in (run, soon)]
    assert unequal(*weights) == []


@pytest.mark.usefixtures("gated")
def test_a_spoilt_validation_is_put_down_to_the_update_that_the_device_skipped(tmp_path):
    run = nonfinite(tmp_path, log_every_steps=100, checkpoint_every_steps=100)
    run.validate = lambda codec: {names.VAL_RD_LOSS: float("nan") if run.step > 4 else 1.0}
    with pytest.raises(NonFiniteError, match="in the step after 4; "):
        run.fit()


@pytest.mark.parametrize("precision", ["float32", "fp16"])
@pytest.mark.parametrize("bad", [(0,), (4, 6)])
def test_the_average_leaves_out_what_the_device_skips_as_the_cpu_does(tmp_path, request, monkeypatch, precision, bad):
    """fp16 overflows in its first steps here, which are skipped without a word."""
    monkeypatch.setattr(factories, "kernel", lambda params: {"fused": True})  # its bits are not those of foreach
    averages = []
    for way in ("cpu", "device"):
        if way == "device":
            request.getfixturevalue("gated")
        how = {"on_nonfinite": "skip", "ema_decay": 0.8, "stepping": step_options(precision=precision)}
        run = nonfinite(tmp_path / way, bad=bad, steps=16, **how)
        run.fit()
        assert run.skipped == set(bad)
        averages.append(dict(run.ema.state_dict()))
    assert unequal(*averages) == []
    made = int(averages[0]["n_averaged"])
    assert made == 16 - len(bad) if precision == "float32" else 0 < made < 16 - len(bad)
