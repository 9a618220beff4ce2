"""Every table that is shipped: each of its rows makes a valid, different run at every scale."""

import pytest

from lic_exp.ablation_spec import experiments, read_table
from lic_exp.config.compose import compose
from lic_exp.config.options import options
from lic_exp.config.signing import signed_part
from lic_exp.config.validation import validate
from lic_exp.sweeps.trainings import trainings

TABLES = [name for name in options("experiment") if read_table(experiments() / f"{name}.yaml")]


@pytest.mark.parametrize("scale", options("scale"))
@pytest.mark.parametrize("name", TABLES)
def test_rows_are_runs_that_differ(name, scale, photos):
    data = [] if scale == "mini" else [f"data.train=['{photos}/train']", f"data.val=['{photos}/val']"]
    table = read_table(experiments() / f"{name}.yaml")
    runs = {}
    for row, variant in table.variants.items():
        if variant.overrides is not None:
            given = [f"experiment={name}", f"scale={scale}", f"variant={row}", *data]
            (training,) = trainings(given, several=False)
            config = validate(compose(training.overrides))
            length = (config.trainer.max_steps, config.trainer.max_epochs)
            runs[row] = {key: config.plain()[key] for key in ("model", "spectral_reg")} | {"length": length}
            assert signed_part(config)["seed"] == table.seeds[0]
    assert all(runs[one] != runs[other] for one in runs for other in runs if one < other)


def test_a_range_over_levels_is_no_figure_of_one_level():
    table = read_table(experiments() / "table8.yaml")
    claimed = {row for row, variant in table.variants.items() if variant.paper.speed_up is not None}
    assert claimed == {"high_regu"}


@pytest.mark.parametrize("name", TABLES)
def test_stages_stated_in_epochs_end_before_the_training(name):
    """A scale makes epochs shorter, not fewer: the paper's 100 epochs are the same part of every training."""
    lengths = set()
    for scale in options("scale"):
        more = [] if scale == "mini" else ["data.train=[a]", "data.val=[b]"]
        row = read_table(experiments() / f"{name}.yaml").baseline
        (training,) = trainings([f"experiment={name}", f"scale={scale}", f"variant={row}", *more], several=False)
        lengths.add(compose(training.overrides)["trainer"]["max_epochs"])
    assert min(lengths) >= 300
