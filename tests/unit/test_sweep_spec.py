import itertools
import json

import pytest
import toy
import yaml
from checkout import ROOT

from lic_exp.__main__ import main as verb
from lic_exp.launching.compose import compose
from lic_exp.launching.errors import ConfigError
from lic_exp.launching.identity import signature
from lic_exp.launching.studies import trainings
from lic_exp.launching.sweeps.cells import freeze
from lic_exp.launching.sweeps.folder import FOLDER, Sweep, find_sweep
from lic_exp.launching.sweeps.making import make
from lic_exp.launching.sweeps.search import OptunaSampler, RandomSampler, axes_of
from lic_exp.launching.sweeps.spec import parse_spec, points
from lic_exp.launching.sweeps.states import CELL_STATES
from lic_exp.launching.validation import validate

PACKAGE = "toys_with_a_sweep"
COMMON = (f"plugins=[{toy.NAME},{PACKAGE}]", *toy.SHORT_RUN)
EXPERIMENT = """# @package _global_
sweep:
  product: {spectral_reg: [none, intra], optimizer.lr: [0.01, 0.001]}
  seeds: [3, 4]
"""
NASTY = ["a b", "$(touch x); `y` && z | w > v", 'it\'s "quoted"', "\u00e9\u4e2d", "two\nlines", "#,=[{"]


def values(node, chosen=()):
    return [point.values for point in points(parse_spec(node, "here"), dict(chosen))]


def test_a_product_with_seeds():
    found = values({"product": {"a": [1, 2], "b": ["x", "y"]}, "seeds": [0, 1]})
    assert found == [{"a": a, "b": b, "seed": s} for a, b, s in itertools.product([1, 2], ["x", "y"], [0, 1])]


def test_pairs_move_together_and_multiply_with_the_rest():
    found = values({"zip": {"lmbda": [1, 2, 3], "N": [10, 20, 30]}, "product": {"a": [0, 1]}})
    assert len(found) == 6
    assert {(one["lmbda"], one["N"]) for one in found} == {(1, 10), (2, 20), (3, 30)}


def test_what_is_excluded_and_included():
    spec = {"product": {"a": [1, 2], "b": [1, 2]}, "exclude": [{"a": 1, "b": 2}], "include": [{"a": 9}], "seeds": [5]}
    assert values(spec) == [
        {"a": 1, "b": 1, "seed": 5},
        {"a": 2, "b": 1, "seed": 5},
        {"a": 2, "b": 2, "seed": 5},
        {"a": 9, "seed": 5},
    ]


def test_the_command_line_replaces_a_products_values_chooses_pairs_and_adds_axes():
    spec = {"product": {"a": [1, 2]}, "zip": {"b": [1, 2], "c": [3, 4]}, "seeds": [0, 1]}
    assert values(spec, {"a": [7], "b": [2], "seed": [5]}) == [{"a": 7, "b": 2, "c": 4, "seed": 5}]
    assert len(values(spec, {"d": [1, 2, 3]})) == 2 * 2 * 2 * 3


def test_a_chain_links_cells_that_differ_in_its_key_alone():
    spec = {"product": {"a": [1, 2], "lmbda": [0.1, 0.5, 0.9]}, "chain": {"key": "lmbda", "order": [0.9, 0.5, 0.1]}}
    found = points(parse_spec(spec | {"seeds": [0, 1]}, "here"), {})
    assert len(found) == 12
    for place, point in enumerate(found):
        if point.values["lmbda"] == 0.9:
            assert point.after is None
        else:
            parent = found[point.after].values
            assert point.after < place
            assert parent["lmbda"] == {0.5: 0.9, 0.1: 0.5}[point.values["lmbda"]]
            assert {**parent, "lmbda": 0} == {**point.values, "lmbda": 0}


def test_screening_marks_the_first_rate_and_groups_the_rest_over_seeds():
    spec = {
        "product": {"a": [1, 2], "lmbda": [1, 2]},
        "seeds": [0, 1],
        "screen": {"key": "lmbda", "value": 2, "keep": 1},
    }
    found = points(parse_spec(spec, "here"), {})
    assert {point.group for point in found} == {"a=1", "a=2"}
    assert [point.first for point in found] == [point.values["lmbda"] == 2 for point in found]


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"zip": {"a": [1, 2], "b": [1]}}, "keys that move together have as many values each: a 2, b 1"),
        ({"product": {"a": [1]}, "zip": {"a": [1]}}, "a: a key has its values in one place"),
        ({"product": {"a": [1]}, "chain": {"key": "b"}}, "chain.key: 'b' has no values"),
        ({"product": {"a": [1]}, "exclude": [{"b": 1}]}, "exclude: 'b' is no key of this sweep; it has a"),
        ({"produce": {"a": [1]}}, "produce: Extra inputs are not permitted"),
    ],
)
def test_refusals(node, message):
    with pytest.raises(ConfigError, match=r"^here: sweep: ") as error:
        parse_spec(node, "here")
    assert message in str(error.value)


def test_excluding_everything_is_an_error():
    with pytest.raises(ConfigError, match="leave no cell"):
        values({"product": {"a": [1]}, "exclude": [{"a": 1}]})


@pytest.fixture
def toys(toy_folder, tmp_path, monkeypatch):
    """The toys with an experiment that is a sweep, in an empty working folder."""
    toy.write_package(tmp_path, PACKAGE, {"__init__.py": "", "conf/experiment/swept.yaml": EXPERIMENT})
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def frozen(*given):
    given = [*COMMON, *given]
    return freeze(trainings(given, several=True), given)


@pytest.mark.usefixtures("toys")
def test_an_experiments_sweep_is_its_cells_each_signed_as_its_own_command_is():
    found = frozen("experiment=swept")
    assert len({cell.signature for cell in found.cells}) == len(found.cells) == 8
    for cell in found.cells[::3]:
        own = [f"{key}={value}" for key, value in cell.role.items()]
        (alone,) = trainings([*COMMON, *own], several=False)
        assert signature(validate(compose(alone.overrides))) == cell.signature
    assert "sweep" not in next(iter(found.configs.values()))


@pytest.mark.usefixtures("toys")
def test_a_sweep_asks_for_m():
    with pytest.raises(ConfigError, match="experiment=swept is a sweep: run it with -m"):
        trainings([*COMMON, "experiment=swept"], several=False)


@pytest.mark.usefixtures("toys")
def test_a_chained_cell_is_signed_by_the_cell_it_starts_from():
    found = frozen("experiment=swept", "sweep.chain={key:optimizer.lr}", "seed=3")
    parents = {cell.signature: cell.parent for cell in found.cells}
    assert sorted(parent is None for parent in parents.values()) == [False, False, True, True]
    for name, parent in parents.items():
        assert found.configs[name]["init_from"] == parent
    unchained = {cell.signature for cell in frozen("experiment=swept", "seed=3").cells}
    assert {name for name, parent in parents.items() if parent is None} < unchained
    assert not {name for name, parent in parents.items() if parent is not None} & unchained


@pytest.mark.usefixtures("toys")
def test_fifteen_hundred_cells_are_each_signed_once(monkeypatch):
    signed = []
    monkeypatch.setattr(
        "lic_exp.launching.sweeps.cells.signature", lambda config: signed.append(signature(config)) or signed[-1]
    )
    found = frozen("seed=range(0,500)", "optimizer.lr=0.1,0.01,0.001")
    assert len(found.cells) == len(set(signed)) == len(signed) == 1500
    sweep = found.write()
    assert len(list((sweep.folder / "cells").iterdir())) == 1500


@pytest.mark.usefixtures("toys")
def test_the_same_cells_are_the_same_sweep_and_other_cells_are_not():
    assert frozen("seed=0,1").name == frozen("seed=1,0").name != frozen("seed=0,2").name
    twice = frozen("seed=0,0")
    assert len(twice.cells) == 1
    assert twice.merged == ["seed=0 is the same run as seed=0"]


@pytest.mark.usefixtures("toys")
def test_the_manifest_says_which_cell_is_what(tmp_path):
    sweep = make([*COMMON, "seed=0,1", "optimizer.lr=0.1,0.2", "hydra.launcher.slots=3"], several=True).write()
    assert sweep.folder.parent == tmp_path / "work" / "runs" / FOLDER
    manifest = json.loads((sweep.folder / "manifest.json").read_text())
    assert [cell["role"] for cell in manifest["cells"]] == [
        {"seed": seed, "optimizer.lr": lr} for seed in (0, 1) for lr in (0.1, 0.2)
    ]
    assert manifest["cells"][1]["label"] == "seed=0, optimizer.lr=0.2"
    assert manifest["launcher"]["slots"] == 3
    assert find_sweep(None).name == find_sweep(sweep.name[:9]).name == sweep.name


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize("text", NASTY)
def test_what_means_something_to_a_shell_or_a_parser_arrives_as_data(text, tmp_path):
    experiment = tmp_path / PACKAGE / "conf/experiment/swept.yaml"
    node = {"product": {"name": [text, "other"]}, "seeds": [0]}
    experiment.write_text("# @package _global_\n" + yaml.safe_dump({"sweep": node}, allow_unicode=True))
    # The name is not signed, so that the two are one run.
    assert [training.role["name"] for training in trainings([*COMMON, "experiment=swept"], several=True)] == [
        text,
        "other",
    ]
    found = frozen("experiment=swept")
    (cell,) = found.cells
    assert cell.label == f"name={text}, seed=0"
    sweep = Sweep(found.write().folder)
    assert json.loads(sweep.frozen(cell).read_text())["config"]["name"] == text
    assert sweep.cells[0].label == cell.label


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["hydra.launcher.slots=0"], "hydra.launcher.slots=0: should be greater than or equal to 1"),
        (["hydra.launcher.slot=2"], "hydra.launcher.slot: there is no such key. Did you mean hydra.launcher.slots?"),
        (["optimizer.lr=1,-1"], "optimizer.lr=-1: should be greater than 0 (cell seed=0, optimizer.lr=-1)"),
        (["paths.runs=a,b"], "paths.runs: the cells of a sweep lie in one folder, not in a and b"),
    ],
)
def test_a_wrong_sweep_is_refused_before_anything_is_written(given, message, tmp_path):
    with pytest.raises(ConfigError) as error:
        make([*COMMON, "seed=0,1", *given], several=True)
    assert any(found.startswith(message) for found in error.value.messages), error.value.messages
    assert not list((tmp_path / "work").iterdir())


AXES = ["optimizer.lr=tag(log,interval(1e-4,1e-2))", "data.batch_size=tag(int,interval(1,8))", "optimizer=adam,[sgd]"]


def test_the_axes_of_a_search():
    lr, batch, optimizer = axes_of([*AXES, "seed=3"])
    assert (lr.key, lr.low, lr.high, lr.log, lr.whole) == ("optimizer.lr", 1e-4, 1e-2, True, False)
    assert (batch.low, batch.high, batch.whole) == (1, 8, True)
    assert optimizer.choices == ("adam", ["sgd"])
    with pytest.raises(ConfigError, match="give what to search"):
        axes_of(["seed=3"])
    with pytest.raises(ConfigError, match="from a lower to a higher number"):
        axes_of(["a=tag(log,interval(0,1))"])


@pytest.mark.parametrize("sampler", [RandomSampler, OptunaSampler])
def test_a_sampler_asks_within_its_axes_and_again_the_same(sampler):
    if sampler is OptunaSampler:
        pytest.importorskip("optuna", reason="the extra hpo is not installed")
    axes = axes_of(AXES)
    told = []
    for number in range(12):
        (values,) = sampler(axes, seed=1).ask(told, 1)
        assert sampler(axes, seed=1).ask(told, 1) == [values]
        assert 1e-4 <= values["optimizer.lr"] <= 1e-2
        assert values["data.batch_size"] in range(1, 9)
        assert values["optimizer"] in ("adam", ["sgd"])
        told.append((values, None if number == 3 else abs(values["optimizer.lr"] - 3e-3)))
    assert len({values["optimizer.lr"] for values, _ in told}) == 12


def test_an_interval_is_for_a_search():
    with pytest.raises(ConfigError, match="an interval is for a search: hydra/sweeper=search"):
        trainings(["optimizer.lr=interval(0.1,1)"], several=True)


@pytest.mark.usefixtures("toys")
def test_explain_says_what_a_waiting_cell_differs_in(capsys):
    sweep = make([*COMMON, "seed=0,7"], several=True).write()
    first, second = (cell.signature for cell in sweep.cells)
    assert verb(["explain", second[:10], first]) == 0
    said = capsys.readouterr().out
    assert f"run {second}\n  not begun\n  cell seed=7 of sweep {sweep.name}\n" in said
    assert "  data.crop_size=32  (default: 128)\n" in said
    assert said.endswith(f"differs from {first} in\n  seed=7  ({first[:8]}: 0)\n")
    assert verb(["explain", "0000"]) == 2


def test_every_state_of_a_cell_is_explained():
    page = (ROOT / "docs" / "states.md").read_text()
    assert [state for state in CELL_STATES if f"| `{state}` |" not in page] == []
