"""Every table that is shipped: each of its rows makes a valid run, and another one than the rest, at every scale."""

import functools
from collections import Counter

import pytest

from lic_exp import exit_codes
from lic_exp.ablation_spec import experiments, read_table
from lic_exp.config.errors import ConfigError
from lic_exp.config.options import options
from lic_exp.config.reach import experiment_of
from lic_exp.sweeps.create import sweep_request
from lic_exp.sweeps.plan import show_plan
from lic_exp.sweeps.trainings import trainings

TABLES = [name for name in options("experiment") if read_table(experiments() / f"{name}.yaml")]

ALIKE = {"table2": [["naive", "inter_zero"]]}
"""Rows that are one experiment, and are there to show it."""

DELTAS = [0.01, 0.03, 0.1, 0.3, 1]


@pytest.fixture(scope="module")
def requests(photos, tmp_path_factory):
    """Of a table at a scale, by name, the sweep of its first seed."""
    folder = tmp_path_factory.mktemp("planned")

    @functools.cache
    def made(name, scale):
        data = [] if scale == "mini" else [f"data.train=['{photos}/train']", f"data.val=['{photos}/val']"]
        seed = read_table(experiments() / f"{name}.yaml").seeds[0]
        given = [f"experiment={name}", f"scale={scale}", f"seed={seed}", f"paths.runs='{folder}'", *data]
        return sweep_request(given, several=True)

    return made


@pytest.fixture(scope="module")
def configs(requests):
    """{row: the config of its first training}"""

    def made(name, scale):
        frozen, found = requests(name, scale).frozen, {}
        for cell in frozen.cells:
            found.setdefault(cell.role["variant"], frozen.configs[cell.signature])
        return found

    return made


def options_of(config, *path):
    node = config.plain()
    for key in path:
        node = node[key]
    return node


@pytest.mark.parametrize("scale", options("scale"))
@pytest.mark.parametrize("name", TABLES)
def test_a_table_plans(name, scale, requests, capsys):
    request = requests(name, scale)
    assert request.frozen.merged == []
    assert show_plan(request) == exit_codes.DONE
    shown, cells = capsys.readouterr().out, request.frozen.cells
    assert [cell.label for cell in cells if cell.signature not in shown] == []
    assert f"{len(cells)} cells, {len(cells)} to run" in shown


@pytest.mark.parametrize("scale", options("scale"))
@pytest.mark.parametrize("name", TABLES)
def test_rows_are_runs_that_differ(name, scale, configs):
    table, runs = read_table(experiments() / f"{name}.yaml").at(scale), configs(name, scale)
    assert list(runs) == [row for row, variant in table.variants.items() if variant.overrides is not None]
    assert {config.seed for config in runs.values()} == {table.seeds[0]}
    alike = {}
    for row, config in runs.items():
        alike.setdefault(experiment_of(config), []).append(row)
    assert [rows for rows in alike.values() if len(rows) > 1] == ALIKE.get(name, [])


@pytest.mark.parametrize("scale", options("scale"))
@pytest.mark.parametrize("name", [name for name in TABLES if name != "accelerators"])  # of which each is another group
def test_a_row_and_its_partner_differ_in_the_regularizer_and_length_alone(name, scale, configs):
    """So a row at another learning rate is compared with a baseline at that rate."""
    table, runs = read_table(experiments() / f"{name}.yaml").at(scale), configs(name, scale)
    for row, config in runs.items():
        if not table.variants[row].rates:
            one, other = config.plain(), runs[table.partner(row)].plain()
            differ = {key for key in one if one[key] != other[key]} - {"name", "variant", "spectral_reg"}
            assert differ <= ({"trainer"} if table.variants[row].longer > 1 else set()), row


@pytest.mark.parametrize("name", [name for name in TABLES if name != "table1"])  # which has codecs of the large scale
def test_regularizers_of_the_small_scale_attach(name, configs):
    from lic_exp.runs.build import build_codec, build_regularizers

    codecs = {}
    for config in configs(name, "mini").values():
        key = str(config.plain()["model"])
        codecs[key] = codecs.get(key) or build_codec(config)
        build_regularizers(config, codecs[key])


@pytest.mark.parametrize("name", ["table2", "table3b", "table6"])
@pytest.mark.parametrize("scale", options("scale"))
def test_literal_rows_are_also_trained_at_the_papers_learning_rate(name, scale, configs):
    table, runs = read_table(experiments() / f"{name}.yaml").at(scale), configs(name, scale)
    slow = {row for row, config in runs.items() if options_of(config, "optimizer", "lr") == 1e-4}
    if scale == "paper":
        assert slow == set(runs)
        return
    assert {table.partner(row) for row in slow} == {"naive_1e4"} | ({"delta_01_1e4"} if name == "table6" else set())
    claimed = {row: table.variants[row].paper.bd_rate for row in runs if table.variants[row].paper.bd_rate}
    literal = {row: claim for row, claim in claimed.items() if f"{row}_1e4" in table.variants}
    assert literal
    assert all(claimed[f"{row}_1e4"] == claim for row, claim in literal.items())


@pytest.mark.parametrize(
    ("name", "beginning", "path"),
    [
        ("table3b", "dwt_l2", ("spectral_reg", "delta")),
        ("table3b", "predict", ("spectral_reg", "delta")),
        ("table6", "delta", ("spectral_reg", "inter", "delta")),
        ("table6", "predict", ("spectral_reg", "inter", "delta")),
    ],
)
def test_weights_span_two_decades(name, beginning, path, configs):
    rows = configs(name, "mini")
    mine = {row: config for row, config in rows.items() if row.startswith(beginning)}
    kept = [row for row in mine if not row.endswith(("_1e4", "_add", "_0"))]
    assert sorted(options_of(mine[row], *path) for row in kept) == DELTAS


@pytest.mark.parametrize(
    ("name", "signed", "redundancy"),
    [
        ("table2", "inter_add", "both_predict"),
        ("table3b", "dwt_l2_add", "predict_01"),
        ("table6", "add_01", "predict_01"),
    ],
)
def test_controls_of_the_inter_scale_term(name, signed, redundancy, configs):
    rows = configs(name, "mini")
    assert "'sign': 'add'" in str(rows[signed].plain()["spectral_reg"])
    assert "inter_predict.InterPredict" in str(rows[redundancy].plain()["spectral_reg"])


def test_sizes_of_table8_stand_to_each_other_as_those_of_the_large_codec(configs):
    from lic_exp.evaluation.complexity import complexity
    from lic_exp.runs.build import build_codec

    small = {row: configs("table8", "mini")[row] for row in ("low", "mid", "high")}
    costs = {}
    for row, config in small.items():
        counted = complexity(build_codec(config))
        costs[row] = sum(part.macs for part in counted.parts)
    assert 0.30 < costs["low"] / costs["high"] < 0.42
    assert 0.60 < costs["mid"] / costs["high"] < 0.72


@pytest.mark.parametrize("name", TABLES)
def test_rows_are_told_apart_by_their_labels(name):
    labels = Counter(variant.label for variant in read_table(experiments() / f"{name}.yaml").variants.values())
    assert max(labels.values()) == 1


def test_a_range_over_levels_is_no_figure_of_one_level():
    table = read_table(experiments() / "table8.yaml")
    claimed = {row for row, variant in table.variants.items() if variant.paper.speed_up is not None}
    assert claimed == {"high_regu"}


@pytest.mark.parametrize("name", TABLES)
def test_stages_stated_in_epochs_end_before_the_training(name, configs):
    """A scale makes epochs shorter, not fewer: the paper's 100 epochs are the same part of every training."""
    baseline = read_table(experiments() / f"{name}.yaml").baseline
    assert min(configs(name, scale)[baseline].trainer.max_epochs for scale in options("scale")) >= 300


def test_a_row_that_a_scale_does_not_run_says_why():
    with pytest.raises(ConfigError, match="variant=inter_1e4 cannot be run: at this scale every row has this learning"):
        trainings(["experiment=table2", "scale=paper", "variant=inter_1e4"], several=True)
