"""`signature`: one line, or a refusal."""

import re

import pytest

from lic_exp import exit_codes
from lic_exp.__main__ import main


def name_of(capsys, *overrides):
    assert main(["signature", *overrides]) == exit_codes.DONE
    said = capsys.readouterr()
    assert said.err == ""
    assert re.fullmatch("[0-9a-f]{16}\n", said.out)
    return said.out


def test_the_name_and_nothing_else(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    default = name_of(capsys)
    assert name_of(capsys, "data.num_workers=3", "name=label", "paths.runs=elsewhere", "tracker=none") == default
    assert name_of(capsys, "seed=1") != default
    assert name_of(capsys, "trainer.max_steps=1000") == name_of(capsys, "trainer.max_steps=1e3") != default
    assert not list(tmp_path.iterdir())


def test_a_row_of_a_table_is_one_run(capsys):
    row = ["experiment=table2", "scale=mini", "variant=intra"]
    assert name_of(capsys, *row) == name_of(capsys, *row, "seed=0") != name_of(capsys, *row, "seed=1")


@pytest.mark.parametrize(
    ("overrides", "messages"),
    [
        (["optimizer.lrr=1", "seed=abc"], ["optimizer.lrr: there is no such key", "seed=abc: "]),
        (["model=nosuch"], ["model=nosuch: model has no option"]),
        (["seed=0,1"], ["describe several runs"]),
        (["experiment=table2"], ["variant"]),
        (["data=folder", "data.train=[nosuch]", "data.val=[nosuch]"], ["nosuch does not exist"]),
    ],
)
def test_what_has_no_name(overrides, messages, capsys):
    assert main(["signature", *overrides]) == exit_codes.CONFIG
    said = capsys.readouterr()
    assert said.out == ""
    for message in messages:
        assert message in said.err
