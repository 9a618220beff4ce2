"""From a command line to frozen, signed cells and the sweep that they are."""

import json

import pytest
import toy
import yaml
from checkout import ROOT

from lic_exp.__main__ import main as verb
from lic_exp.config.compose import compose
from lic_exp.config.errors import ConfigError
from lic_exp.config.signing import signature
from lic_exp.config.validation import validate
from lic_exp.runs.provenance import ORIGIN, code_state, origin
from lic_exp.sweeps.create import sweep_request
from lic_exp.sweeps.folder import FOLDER, SweepFolder, find_sweep
from lic_exp.sweeps.freezing import freeze
from lic_exp.sweeps.states import CELL_STATES, may_start
from lic_exp.sweeps.trainings import trainings

PACKAGE = "toys_with_a_sweep"
COMMON = (f"plugins=[{toy.NAME},{PACKAGE}]", *toy.SHORT_RUN)
EXPERIMENT = """# @package _global_
sweep:
  product: {spectral_reg: [none, intra], optimizer.lr: [0.01, 0.001]}
  seeds: [3, 4]
"""
NASTY = ["a b", "$(touch x); `y` && z | w > v", 'it\'s "quoted"', "\u00e9\u4e2d", "two\nlines", "#,=[{"]


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
@pytest.mark.parametrize(
    ("axes", "refused"),
    [
        ({"criterion.lmbda": [0.01, 0.05], "optimizer.lr": [0.01, 0.001]}, ""),
        ({"optimizer.lr": [0.01, 0.001], "criterion.lmbda": [0.01, 0.05]}, "criterion.lmbda"),
        ({"trainer.ema_decay": [None, 0.9], "data.val_limit": [1, 2]}, "data.val_limit"),
        ({"trainer.ema_decay": [None, 0.9], "criterion": ["mse", "ms_ssim"]}, "criterion._target_"),
    ],
)
def test_a_screening_compares_choices_whose_losses_mean_the_same(tmp_path, axes, refused):
    """The first key is what is screened at its first value: of another lmbda there, its choices are told apart."""
    key, values = next(iter(axes.items()))
    sweep = {"product": axes, "screen": {"key": key, "value": values[0], "keep": 1}}
    text = f"# @package _global_\n{yaml.safe_dump({'sweep': sweep})}"
    (tmp_path / PACKAGE / "conf" / "experiment" / "screened.yaml").write_text(text)
    given = [*COMMON, "experiment=screened", "data.crop_size=192"]
    if not refused:
        assert len(sweep_request(given, several=True).frozen.cells) == 4
        return
    with pytest.raises(ConfigError, match=f"sweep: {refused}: screen ranks the choices by val/rd_loss, which measures"):
        sweep_request(given, several=True)


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
        assert found.configs[name].init_from == parent
    unchained = {cell.signature for cell in frozen("experiment=swept", "seed=3").cells}
    assert {name for name, parent in parents.items() if parent is None} < unchained
    assert not {name for name, parent in parents.items() if parent is not None} & unchained


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize("key", ["init_from", "parent"])
@pytest.mark.parametrize("others", [[], ["seed=0,1"], ["model.freeze=['g_a.*']"]])
def test_a_cell_may_begin_from_an_earlier_one_of_the_sweep(key, others):
    first = frozen(f"{key}=null", *others).cells[0].signature
    given = [*COMMON, f"{key}=null,'{first}'", *others]
    found = sweep_request(given, several=True).frozen
    begun = {cell.signature for cell in found.cells if getattr(found.configs[cell.signature], key) == first}
    assert {cell.signature for cell in found.cells if cell.parent == first} == begun != set()
    sweep = SweepFolder(found.write().folder)
    for cell in sweep.cells:
        said = f"it starts from {sweep.by_signature[first].label}, which is waiting" if cell.parent else None
        assert may_start(sweep, cell) == said


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize(
    ("wrong", "messages"),
    [
        ("data.batch_size=0", 1),
        ("model.channels=none", 1),
        ("trainer.accumulate=3", 1),
        ("model.weights=nowhere.pt", 1),
    ],
)
def test_a_cell_whose_beginning_is_refused_says_nothing_of_a_beginning_without_a_name(wrong, messages):
    with pytest.raises(ConfigError) as error:
        frozen("experiment=swept", "sweep.chain={key:optimizer.lr}", "seed=3", wrong)
    assert len(error.value.messages) == messages
    assert wrong.partition("=")[0] in str(error.value)
    assert "init_from" not in str(error.value)


@pytest.mark.usefixtures("toys")
def test_fifteen_hundred_cells_are_each_signed_once(monkeypatch):
    signed = []
    monkeypatch.setattr(
        "lic_exp.config.signing.signature", lambda config: signed.append(signature(config)) or signed[-1]
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
    sweep = sweep_request([*COMMON, "seed=0,1", "optimizer.lr=0.1,0.2", "hydra.launcher.slots=3"], several=True).write()
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
    assert cell.label == f"name={text}", "the one seed of all is no difference"
    sweep = SweepFolder(found.write().folder)
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
        sweep_request([*COMMON, "seed=0,1", *given], several=True)
    assert any(found.startswith(message) for found in error.value.messages), error.value.messages
    assert not list((tmp_path / "work").iterdir())


@pytest.mark.usefixtures("toys")
def test_explain_says_what_a_waiting_cell_differs_in(capsys):
    sweep = sweep_request([*COMMON, "seed=0,7"], several=True).write()
    first, second = (cell.signature for cell in sweep.cells)
    head = f"run {second}\n  not begun\n  cell seed=7 of sweep {sweep.name}\n"
    assert verb(["explain", second[:10]]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{head}differs from the defaults in\n")
    assert "  data.crop_size=32  (default: 128)\n" in said
    assert "  no " not in said  # options of the default's model, of which this one knows nothing
    assert verb(["explain", second[:10], first]) == 0
    assert capsys.readouterr().out == f"{head}differs from run {first} in\n  seed=7  ({first[:8]}: 0)\n"
    assert verb(["explain", "0000"]) == 2


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize(
    ("given", "rows"),
    [
        (["seed=0,1", "optimizer.lr=0.1"], ["seed=1  (FIRST: 0)"]),
        (["optimizer.lr=0.1,0.2", "name=x"], ["optimizer.lr=0.2  (FIRST: 0.1)"]),
        (["spectral_reg=intra,none"], ["spectral_reg._target_=null", "no spectral_reg.tau_init  (FIRST: 0.05)"]),
        (["spectral_reg=none,intra", "spectral_reg.tau_init=0.2"], ["spectral_reg.tau_init=0.2  (FIRST: none)"]),
    ],
)
def test_explain_shows_what_differs_between_two_and_nothing_else(given, rows, capsys):
    first, second = (cell.signature for cell in sweep_request([*COMMON, *given], several=True).write().cells)
    assert verb(["explain", second, first]) == 0
    said = capsys.readouterr().out.partition(" in\n")[2]
    assert [row for row in rows if row.replace("FIRST", first[:8]) not in said] == []
    keys = {line.removeprefix("  no ").strip().partition("=")[0].split(".")[0].split()[0] for line in said.splitlines()}
    assert keys == {rows[0].partition("=")[0].split(".")[0]}


def test_every_state_of_a_cell_is_explained():
    page = (ROOT / "docs" / "states.md").read_text()
    assert [state for state in CELL_STATES if f"| `{state}` |" not in page] == []


@pytest.mark.usefixtures("toys")
def test_a_snapshot_says_which_code_it_is_a_copy_of():
    given = [*COMMON, "seed=0,1", "hydra.launcher.snapshot=true"]
    sweep = sweep_request(given, several=True).write()
    assert (sweep.folder / "code" / "lic_exp" / "api.py").is_file()
    facts = origin(sweep.folder / "code").facts
    assert facts == code_state([toy.NAME, PACKAGE]).facts
    assert list(facts["plugins"]) == [toy.NAME, PACKAGE]
    before = (sweep.folder / "code" / ORIGIN).stat().st_mtime_ns
    sweep_request(given, several=True).write()
    assert (sweep.folder / "code" / ORIGIN).stat().st_mtime_ns == before, "the copy is not made anew either"
