"""`--version`: the same of all three programs, and what is not known is not said to be clean."""

import contextlib
import tomllib

import pytest
from checkout import ROOT

import lic_exp
from analysis.__main__ import main as analysis
from lic_exp import exit_codes
from lic_exp.__main__ import main as verb
from lic_exp.cli.launch import main as launch
from lic_exp.runs import provenance
from lic_exp.runs.provenance import CodeState, version_text

COMMIT = "4c019a243a92bd4db539302e1b6f3f186ed47050"


@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        (launch, ["--version"]),
        (launch, ["model=dhic_tiny", "--version"]),
        (verb, ["--version"]),
        (verb, ["launch", "--version"]),
        (analysis, ["--version"]),
    ],
)
def test_all_programs_say_one_version(program, arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert program(arguments) == exit_codes.DONE
    said = capsys.readouterr()
    assert said.out == version_text() + "\n"
    assert said.out.startswith(f"lic_exp {lic_exp.__version__} (")
    assert said.err == ""
    assert list(tmp_path.iterdir()) == []


def test_the_number_is_that_of_the_package():
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == lic_exp.__version__


@pytest.mark.parametrize(
    ("commit", "dirty", "said"),
    [
        (COMMIT, False, "(commit 4c019a243a92), "),
        (COMMIT, True, "(commit 4c019a243a92 with changes), "),
        (COMMIT, None, "(commit 4c019a243a92, perhaps with changes), "),
        (None, None, "(of no known commit), "),
    ],
)
def test_what_git_does_not_know(commit, dirty, said, monkeypatch):
    facts = {"git_commit": commit, "git_dirty": dirty}
    monkeypatch.setattr(provenance, "code_state", lambda: CodeState(facts, {}))
    assert said in version_text()


@pytest.mark.parametrize("program", [verb, analysis])
def test_the_lists_of_commands_name_it(program, capsys):
    with contextlib.suppress(SystemExit):
        program(["--help"])
    assert "--version" in capsys.readouterr().out
