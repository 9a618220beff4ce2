"""What launch.py refuses before it composes a run."""

import pytest

from lic_exp import exit_codes
from lic_exp.cli.launch import main


@pytest.mark.parametrize("flag", ["--config-name=other", "--config-dir=.", "--config-path=.", "--experimental-rerun=x"])
@pytest.mark.parametrize("beside", [[], ["--cfg", "job"], ["-m", "seed=0,1"]])
def test_flags_that_ask_for_another_configuration_are_not_dropped(flag, beside, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([flag, "data=synthetic", *beside]) == exit_codes.CONFIG
    assert f"{flag.partition('=')[0]}: not taken here" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("flags", [["--cfg", "job"], ["--cfg", "job", "--resolve"], []])
def test_a_value_that_leads_nowhere_is_named(flags, capsys):
    assert main(["data=synthetic", "optimizer.lr=${nosuch.key}", *flags]) == exit_codes.CONFIG
    assert "optimizer.lr=${nosuch.key}" in capsys.readouterr().err
