"""Rows of a table whose term has no weight train what their baseline trains, bit for bit, by the whole platform."""

import pytest

import lic_exp
from lic_exp.ablation_spec import experiments, read_table
from lic_exp.training.checkpoint import load_checkpoint

SHORT = (
    "model=dhic_tiny",
    "data=synthetic",
    "data.steps_per_epoch=3",
    "trainer.max_steps=9",
    "trainer.log_every_steps=1",
    "trainer.validate_every_steps=3",
    "trainer.threads=1",
    "trainer.try_step=false",
    "data.val_limit=1",
    "criterion.validation_rates=2",
    "evaluation.enabled=false",
    "tracker=none",
)
ROWS = read_table(experiments() / "table2.yaml").variants
STAGE, BOTH_STAGE = "spectral_reg.truncation_length=1", "spectral_reg.intra.truncation_length=1"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """What a training of these overrides leaves: its losses, and the codec's weights."""
    folder, known = tmp_path_factory.mktemp("weight_0"), {}

    def made(*overrides):
        if overrides not in known:
            done = lic_exp.run([*SHORT, *overrides, f"paths.runs='{folder}'"], quiet=True)
            curves = done.metrics[["step", "train/loss", "val/rd_loss"]].to_csv()
            known[overrides] = curves, load_checkpoint(done.folder / "checkpoints" / "best.pt")["codec"]
        return known[overrides]

    return made


@pytest.mark.parametrize(
    ("plain", "weightless"),
    [
        (ROWS["naive"].overrides, [*ROWS["inter_zero"].overrides, "spectral_reg.start=1"]),
        (["spectral_reg=intra", STAGE], ["spectral_reg=both_predict", BOTH_STAGE, "spectral_reg.inter.delta=0"]),
    ],
)
def test_a_term_of_weight_0_changes_no_bit(trained, plain, weightless):
    (curves, weights), (same, alike) = trained(*plain), trained(*weightless)
    assert curves == same
    assert curves.count("\n") > 9
    assert list(weights) == list(alike)
    assert all(weights[key].equal(alike[key]) for key in weights)


def test_with_its_weight_it_does(trained):
    assert trained(*ROWS["inter"].overrides, "spectral_reg.start=1")[0] != trained(*ROWS["naive"].overrides)[0]
