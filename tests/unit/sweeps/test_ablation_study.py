import json
import math

import pytest
import toy
import yaml
from checkout import ROOT

import lic_exp
from lic_exp.ablation_spec import FOLDER, TableError, parse_table, read_table
from lic_exp.config.compose import compose
from lic_exp.config.errors import ConfigError
from lic_exp.config.signing import signature
from lic_exp.config.validation import validate
from lic_exp.sweeps.trainings import trainings

TABLE = """# @package _global_
table:
  title: toys
  paper: nobody's
  baseline: plain
  seeds: [3, 4]
  aa_seeds: [5, 6]
  rates:
    criterion.lmbda: [0.01, 0.05]
  variants:
    plain: {label: plain, overrides: []}
    wide: {label: wide, overrides: [model.channels=8, optimizer.lr=0.01]}
    dream: {label: a dream, overrides: null, why: nobody wrote it}
"""
ROW = {"label": "a row", "overrides": []}
PACKAGE = "toys_with_a_table"
COMMON = (
    f"plugins=[{toy.NAME},{PACKAGE}]",
    *toy.SHORT_RUN,
    "experiment=toys",
)


@pytest.fixture
def toys(toy_folder, tmp_path, monkeypatch):
    """The toys with a table, in an empty working folder."""
    toy.write_package(tmp_path, PACKAGE, {"__init__.py": "", "conf/experiment/toys.yaml": TABLE})
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def cells(*given, several=True):
    return [str(training) for training in trainings([*COMMON, *given], several=several)]


def config(*given):
    (training,) = trainings([*COMMON, *given], several=False)
    return validate(compose(training.overrides))


def messages(*given, several=False):
    with pytest.raises(ConfigError) as error:
        trainings([*COMMON, *given], several=several)
    return error.value.messages


@pytest.mark.usefixtures("toys")
def test_a_tables_name_stands_for_all_its_trainings():
    every = cells()
    assert len(every) == len(set(every)) == (4 + 2) * 2
    assert every[0] == "plain, seed=3, criterion.lmbda=0.01"
    assert "plain, seed=5, criterion.lmbda=0.05" in every
    assert "wide, seed=5, criterion.lmbda=0.05" not in every


@pytest.mark.usefixtures("toys")
def test_row_seed_and_rate_choose_among_them():
    assert cells("variant=wide", "seed=4") == [f"wide, seed=4, criterion.lmbda={rate}" for rate in (0.01, 0.05)]
    assert cells("seed=3,5", "criterion.lmbda=0.05") == [
        *(f"plain, seed={seed}, criterion.lmbda=0.05" for seed in (3, 5)),
        "wide, seed=3, criterion.lmbda=0.05",
    ]


@pytest.mark.usefixtures("toys")
def test_a_single_run_names_its_row_and_takes_the_first_seed_and_rate():
    assert cells("variant=wide", several=False) == ["wide, seed=3, criterion.lmbda=0.01"]
    assert cells("variant=wide", "seed=9", several=False) == ["wide, seed=9, criterion.lmbda=0.01"]


@pytest.mark.usefixtures("toys")
def test_a_rows_overrides_are_set_and_the_command_line_wins():
    chosen = config("variant=wide")
    assert (chosen.model.options["channels"], chosen.optimizer.options["lr"]) == (8, 0.01)
    assert (chosen.variant, chosen.name, chosen.seed) == ("wide", "toys wide", 3)
    assert config("variant=wide", "optimizer.lr=0.5").optimizer.options["lr"] == 0.5
    assert config("variant=wide", "name=mine").name == "mine"


@pytest.mark.usefixtures("toys")
def test_a_table_and_its_labels_change_no_signature():
    mine = config("variant=wide")
    plain = [text for text in COMMON if not text.startswith("experiment")]
    (other,) = trainings(
        [*plain, "model.channels=8", "optimizer.lr=0.01", "seed=3", "criterion.lmbda=0.01"], several=False
    )
    assert signature(mine) == signature(validate(compose(other.overrides)))
    assert "table" not in mine


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "experiment=toys is a table: name a row, variant=plain|wide, or run all with -m"),
        (["variant=wdie"], "variant=wdie: toys has no such row. Did you mean wide? Valid: plain, wide"),
        (["variant=dream"], "variant=dream cannot be run: nobody wrote it"),
        (["variant=plain,wide"], "experiment=toys: these overrides name 2 trainings; -m runs several"),
        (["variant=plain", "optimizer.lr=1,2"], "optimizer.lr=1,2: with a table only variant, seed, criterion.lmbda"),
        (
            ["table.seeds=[1]", "variant=plain"],
            "experiment=toys: table: aa_seeds: 2 for 1 seeds; give as many, or none",
        ),
        (["table.sed=[1]", "variant=plain"], "experiment=toys: table: sed: Extra inputs are not permitted"),
    ],
)
def test_refusals(given, message):
    (found,) = messages(*given)
    assert found.replace("Value error, ", "").startswith(message)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["variant=x"], "variant=x: only an experiment with a table has variants"),
        (["table.seeds=[1]"], "table.seeds=[1]: only an experiment has a table"),
    ],
)
def test_without_a_table_there_are_no_rows(given, message):
    with pytest.raises(ConfigError) as error:
        trainings(given, several=False)
    assert error.value.messages[0].startswith(message)


@pytest.mark.usefixtures("toys")
def test_the_manifest_signs_every_cell_as_its_own_command_does(tmp_path):
    lic_exp.run([*COMMON, "variant=wide", "seed=4"], quiet=True)
    (path,) = (tmp_path / "work" / "runs" / FOLDER).iterdir()
    manifest = json.loads(path.read_text())
    assert path.name == f"toys-{manifest['study'][:8]}-{manifest['cells'][0]['evaluation']}.json"
    assert len(manifest["cells"]) == 12
    signed = {(cell["variant"], cell["seed"], *cell["rate"].values()): cell["signature"] for cell in manifest["cells"]}
    assert len(set(signed.values())) == 12
    for (variant, seed, rate), name in list(signed.items())[::5]:
        assert signature(config(f"variant={variant}", f"seed={seed}", f"criterion.lmbda={rate}")) == name
    assert manifest["study"] == signed["plain", 3, 0.01]
    assert (tmp_path / "work" / "runs" / signed["wide", 4, 0.01]).is_dir()
    assert "experiment=toys" not in manifest["overrides"]


@pytest.mark.usefixtures("toys")
def test_other_settings_are_another_study_and_the_same_are_the_same(tmp_path):
    for given in (["variant=wide"], ["variant=plain", "seed=4"], ["variant=wide", "trainer.max_steps=3"]):
        lic_exp.run([*COMMON, *given], quiet=True)
    assert len(list((tmp_path / "work" / "runs" / FOLDER).iterdir())) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"baseline": "dream"}, "baseline: 'dream' is none of the variants that can be run"),
        ({"seeds": []}, "seeds: List should have at least 1 item"),
        ({"aa_seeds": [3, 7]}, "a seed stands there twice"),
        ({"rates": {"a": [1], "b": [1]}}, "one key makes the rates"),
        ({"rates": {"a": []}}, "rates.a: has a value, and each once; it is []"),
        ({"rates": {"a": [1, 2, 1]}}, "rates.a: has a value, and each once; it is [1, 2, 1]"),
        ({"colour": "red"}, "colour: Extra inputs are not permitted"),
        ({"variants": {"plain": {"label": "p", "overrides": None}}}, "overrides: null wants a `why`"),
        ({"variants": {"plain": ROW | {"at_scale": {"mini": None}}}}, "at_scale: null wants a `why`"),
        (
            {"variants": {"plain": ROW, "a": {**ROW, "overrides": None, "why": "so", "at_scale": {"mini": []}}}},
            "at_scale: has nothing to follow where overrides are null",
        ),
        (
            {"variants": {"plain": ROW | {"at_scale": {"gpu": None}, "why": "so"}, "a": ROW}},
            "variants.a: is compared with plain, which scale=gpu does not run",
        ),
        ({"variants": {"plain": ROW | {"at_scale": {"gpu": "x=1"}}}}, "variants.plain.at_scale.gpu: Input should be"),
        (
            {"variants": {"plain": ROW, "a": ROW | {"against": "b"}}},
            "variants.a.against: 'b' is no row that others can",
        ),
    ],
)
def test_what_a_table_must_be(change, message):
    with pytest.raises(TableError, match=r"^here: table: ") as error:
        parse_table(yaml.safe_load(TABLE)["table"] | change, "here")
    assert message in str(error.value)


def test_rows_compare_with_the_baseline_or_with_the_row_they_name():
    rows = {"plain": ROW, "low": ROW | {"against": "low"}, "low_too": ROW | {"against": "low"}, "other": ROW}
    rows["another"] = ROW | {"against": "other"}
    table = parse_table(yaml.safe_load(TABLE)["table"] | {"variants": rows}, "here")
    assert {name: table.partner(name) for name in rows} == {
        "plain": "plain",
        "low": "low",
        "low_too": "low",
        "other": "plain",
        "another": "other",
    }


def test_an_experiment_without_a_table(tmp_path):
    (tmp_path / "plain.yaml").write_text("# @package _global_\nseed: 1\n")
    assert read_table(tmp_path / "plain.yaml") is None


def test_a_row_with_rates_of_its_own(toys, tmp_path):
    """A codec of one rate beside one that serves a range."""
    own = TABLE.replace("  rates:\n    criterion.lmbda: [0.01, 0.05]\n", "").replace(
        "lr=0.01]}", "lr=0.01], rates: {criterion.lmbda: [0.01, 0.05]}}"
    )
    (tmp_path / PACKAGE / "conf/experiment/toys.yaml").write_text(own)
    assert cells("seed=3") == [
        "plain, seed=3",
        "wide, seed=3, criterion.lmbda=0.01",
        "wide, seed=3, criterion.lmbda=0.05",
    ]
    assert cells("variant=wide", "seed=3", "criterion.lmbda=0.05") == ["wide, seed=3, criterion.lmbda=0.05"]
    assert cells("variant=wide", several=False) == ["wide, seed=3, criterion.lmbda=0.01"]
    table = parse_table(yaml.safe_load(own)["table"], "here")
    assert [cell.rate for cell in table.cells() if cell.seed == 4] == [
        {},
        {"criterion.lmbda": 0.01},
        {"criterion.lmbda": 0.05},
    ]


def test_an_interval_is_for_a_search():
    with pytest.raises(ConfigError, match="an interval is for a search: hydra/sweeper=search"):
        trainings(["optimizer.lr=interval(0.1,1)"], several=True)


def test_a_row_is_trained_longer_by_as_much_as_its_table_says(toys, tmp_path):
    text = TABLE.replace("overrides: [model.channels=8, optimizer.lr=0.01]}", "overrides: [], longer: 1.6}")
    (tmp_path / PACKAGE / "conf/experiment/toys.yaml").write_text(text)
    short, long = config("variant=plain"), config("variant=wide")
    assert long.trainer.max_steps == math.ceil(1.6 * short.trainer.max_steps)
    assert config("variant=wide", "trainer.max_steps=10").trainer.max_steps == 16


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"longer": 0.5}, "longer: Input should be greater than or equal to 1"),
        ({"paper": {"speed_up": "worse"}}, "speed_up"),
        ({"against": "nobody"}, "is no row that others can compare with"),
    ],
)
def test_rows_that_make_no_sense(row, words):
    node = yaml.safe_load(TABLE)["table"]
    node["variants"]["other"] = ROW | row
    with pytest.raises(TableError, match=words):
        parse_table(node, "here")


@pytest.mark.parametrize(
    ("paper", "judged"),
    [
        ({"speed_up": "more"}, "speed_up"),
        ({"bd_rate": -1.5}, "bd_rate"),
        ({"bd_rate": "less"}, "bd_rate"),
        ({"speed_up": 1.2, "bd_rate": -1.5}, "speed_up"),
    ],
)
def test_a_primary_contrast_is_a_claimed_speed_up_or_bd_rate(paper, judged):
    node = yaml.safe_load(TABLE)["table"] | {"primary": "wide"}
    with pytest.raises(TableError, match="'wide' is no row with a claimed speed-up or BD-rate"):
        parse_table(node, "here")
    node["variants"]["wide"]["paper"] = paper
    table = parse_table(node, "here")
    assert table.primary == "wide"
    assert table.variants["wide"].paper.judged == judged


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "conf/experiment").glob("table*.yaml")))
def test_a_table_names_the_contrast_that_it_is_made_for(name):
    table = read_table(ROOT / "conf/experiment" / f"{name}.yaml")
    claims = [row for row in table.variants.values() if row.paper.judged]
    assert bool(claims) is (table.primary is not None)
    assert bool(claims) is not ("nothing is judged" in " ".join(table.notes))


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize("odd", ["data.batch_size=3", "data.batch_size=5"])
def test_values_that_not_every_row_takes_make_a_run_of_no_table(odd, tmp_path, capsys):
    table = TABLE.replace("optimizer.lr=0.01]", f"optimizer.lr=0.01, {odd}]")
    (tmp_path / PACKAGE / "conf/experiment/toys.yaml").write_text(table)
    (training,) = trainings([*COMMON, "variant=plain", "trainer.accumulate=2"], several=False)
    assert training.study.record(validate(compose(training.overrides))) is None
    assert "rows of no table, for not every row takes their overrides; row wide: trainer.accumulate" in " ".join(
        capsys.readouterr().err.split()
    )
    assert not list(tmp_path.glob("work/**/*.json"))


AT_SCALE = (
    "lr=0.01]}",
    "lr=0.01], why: a trial, at_scale: {mini: [model.channels=2, spectral_reg=intra], gpu: [], paper: null}}",
)


@pytest.fixture
def scaled(toys, tmp_path):
    (tmp_path / PACKAGE / "conf/experiment/toys.yaml").write_text(TABLE.replace(*AT_SCALE))


@pytest.mark.usefixtures("scaled")
@pytest.mark.parametrize(
    ("given", "channels"),
    [
        ([], 8),
        (["scale=gpu", "data.train=[a]", "data.val=[b]"], 8),
        (["scale=mini"], 2),
        (["scale=mini", "model.channels=4"], 4),
        (["scale=mini", 'table.variants.wide.at_scale.mini=["model.channels=3"]'], 3),
        (["scale=mini", "table.variants.wide.at_scale={mini:[]}"], 8),
    ],
)
def test_a_row_may_be_another_at_a_scale(given, channels):
    (training,) = trainings([*COMMON, "variant=wide", *given], several=False)
    plain = compose(training.overrides)
    assert plain["model"]["channels"] == channels
    assert plain["optimizer"]["lr"] == 0.01
    assert ("tau_init" in plain["spectral_reg"]) is (channels in (2, 4))


@pytest.mark.usefixtures("scaled")
def test_a_row_that_a_scale_does_not_run_is_left_out_and_says_why():
    given = ["scale=paper", "data.train=[a]", "data.val=[b]"]
    assert {text.partition(",")[0] for text in cells(*given)} == {"plain"}
    assert messages("variant=wide", *given) == ["variant=wide cannot be run: a trial"]


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize(("wrong", "hint"), [("mimi", " Did you mean mini?"), ("mine!", " Did you mean mini?")])
def test_a_scale_that_there_is_not_is_no_row_of_a_table(wrong, hint, tmp_path):
    text = TABLE.replace("lr=0.01]}", f"lr=0.01], at_scale: {{{wrong}: []}}}}")
    (tmp_path / PACKAGE / "conf/experiment/toys.yaml").write_text(text)
    assert messages("variant=wide") == [f"experiment=toys: table: at_scale: {wrong!r} is no scale.{hint}"]
