"""Rows of which there are runs stay in their table, whatever its file says since."""

import pytest
import yaml
from recorded_study import CONF, EFFECT, write_study

from analysis.__main__ import main
from analysis.ablation import ablation
from analysis.ablation_text import grid
from analysis.studies import load_study


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A study of table3a: naive, linear, and exponential against linear."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(EFFECT, "linear", (1.4, 0.97))
        patch.setitem(EFFECT, "exponential", (1.2, 0.99))
        write_study(folder, table="table3a")
    return folder


@pytest.fixture
def table(tmp_path):
    """The table's file without, or with other, rows."""

    def written(**rows):
        content = yaml.safe_load((CONF / "experiment/table3a.yaml").read_text())
        known = content["table"]["variants"]
        content["table"] |= {"primary": None, "notes": []}
        for name in [*known]:
            if known[name].get("against") in rows and rows[known[name]["against"]] is None and name not in rows:
                del known[name]
        for name, row in rows.items():
            if row is None:
                known.pop(name, None)
            else:
                known[name] |= row
        file = tmp_path / "table3a.yaml"
        file.write_text(yaml.safe_dump(content))
        return str(file)

    return written


def shown(file, runs):
    found = ablation(load_study(file, runs=runs))
    return {row.name: row for row in found.rows}, " ".join(grid(found).notes)


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        ({"exponential": None}, "exponential"),
        ({"exponential": None, "linear": None}, "linear, exponential"),
        ({"exponential": {"overrides": None, "why": "not any more"}}, "exponential"),
    ],
)
def test_a_measured_row_that_its_file_has_no_more_is_shown_as_launched(recorded, table, rows, named):
    before, _ = shown("table3a", recorded)
    found, notes = shown(table(**rows), recorded)
    for name in ("linear", "exponential"):
        assert found[name].bd_rate.values == before[name].bd_rate.values
        assert found[name].against == before[name].against
    assert f"as launched, since the table's file no longer has or runs them: {named}" in notes


def test_one_that_has_nothing_to_be_compared_with_is_named(recorded, table, tmp_path):
    of_linear = list(recorded.glob("02*"))
    assert of_linear
    for path in recorded.iterdir():
        if path not in of_linear:
            (tmp_path / path.name).symlink_to(path)
    found, notes = shown(table(exponential=None, linear=None), tmp_path)
    assert not {"linear", "exponential"} & set(found)
    assert "exponential has runs and is not shown: neither it nor linear, which it is compared with" in notes


def test_the_command_shows_such_a_table(recorded, table, tmp_path):
    file = table(exponential=None)
    assert main(["ablation", file, "--runs", str(recorded), "--out", str(tmp_path / "out"), "--trace"]) == 0
    assert "exponential, 0.05 to 1 (against linear" in (tmp_path / "out/table3a-mini.md").read_text()


def test_a_row_that_never_began_goes_with_its_file(recorded, table):
    found, notes = shown(table(constant=None), recorded)
    assert "constant" not in found
    assert "constant" not in notes
