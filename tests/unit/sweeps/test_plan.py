"""What a plan says of cells that are too short for what they were given."""

import pytest

import lic_exp
from lic_exp.sweeps.create import sweep_request
from lic_exp.sweeps.plan import show_plan

COMMON = ["model=hpcm_tiny", "tracker=none", "data.steps_per_epoch=10"]


@pytest.mark.parametrize(
    ("steps", "marks"),
    [
        (
            80,
            [
                "spectral_reg: its stage lasts to the end of 100 epochs, and this run has 8",
                "(spectral_reg=intra)",
                "spectral_reg.inter: its term begins at epoch 100, and this run has 8: it is never part of the loss",
                "(spectral_reg=both; spectral_reg=both_cos)",
                "spectral_reg=intra; spectral_reg=both; spectral_reg=both_cos: one experiment",
            ],
        ),
        (1010, []),
    ],
)
def test_short_cells_are_marked_and_those_alike_named(steps, marks, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    given = [*COMMON, f"trainer.max_steps={steps}", "spectral_reg=none,intra,both,both_cos"]
    assert show_plan(sweep_request(given, several=True)) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert [mark for mark in marks if mark not in shown] == []
    assert ("this run has" in shown) is ("one experiment" in shown) is bool(marks)
    assert not list(tmp_path.iterdir())


ROWS = "variant=naive,intra,inter,both"
SHORTER = ["data.steps_per_epoch=1", "scheduler.warmup_steps=12", "trainer.validate_every_steps=10"]


@pytest.mark.parametrize(
    ("table", "less", "keeps"),
    [
        ("table2", [ROWS, *SHORTER], True),
        ("table3a", SHORTER, True),
        ("truncation_length", SHORTER, True),
        ("table2", [ROWS, "trainer.max_epochs=100"], False),
    ],
)
def test_a_table_is_shortened_by_its_epochs_and_not_their_number(table, less, keeps, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [text for text in less if text == ROWS]
    whole, short = (lic_exp.plan([f"experiment={table}", "scale=mini", "seed=0", *more]) for more in (rows, less))
    assert list(whole["label"]) == list(short["label"])
    assert (list(whole["never_reached"]) == list(short["never_reached"])) is keeps
    assert (list(whole["same_as"].notna()) == list(short["same_as"].notna())) is keeps


@pytest.mark.parametrize(
    ("steps", "short", "same"),
    [
        (80, ["", "its stage lasts to the end of 100 epochs", "its term begins at epoch 100", "its term"], [2, 3]),
        (1010, ["", "", "", ""], []),
    ],
)
def test_the_plan_from_python_has_what_the_command_line_says(steps, short, same, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = lic_exp.plan([*COMMON, f"trainer.max_steps={steps}", "spectral_reg=none,intra,both,both_cos"])
    assert list(plan["label"]) == [f"spectral_reg={name}" for name in ("none", "intra", "both", "both_cos")]
    assert [text in found for text, found in zip(short, plan["never_reached"], strict=True)] == [True] * 4
    assert [bool(found) for found in plan["never_reached"]] == [bool(text) for text in short]
    assert plan["same_as"].notna().to_numpy().nonzero()[0].tolist() == same
    assert set(plan["same_as"][same]) <= {plan["signature"][1]}
