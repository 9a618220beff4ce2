"""What launch.py refuses before it composes a run."""

import pytest
import yaml

from lic_exp import exit_codes
from lic_exp.cli.launch import main
from lic_exp.config.overrides import quoted


@pytest.mark.parametrize("flag", ["--config-name=other", "--config-dir=.", "--config-path=.", "--experimental-rerun=x"])
@pytest.mark.parametrize("beside", [[], ["--cfg", "job"], ["-m", "seed=0,1"]])
def test_flags_that_ask_for_another_configuration_are_not_dropped(flag, beside, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([flag, "data=synthetic", *beside]) == exit_codes.CONFIG
    said = capsys.readouterr().err
    assert f"{flag.partition('=')[0]}: not taken here" in said
    assert "plugins=[PACKAGE]" in said  # a hydra.searchpath has no options of our groups
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("flags", [["--cfg", "job"], ["--cfg", "job", "--resolve"], []])
def test_a_value_that_leads_nowhere_is_named(flags, capsys):
    assert main(["data=synthetic", "optimizer.lr=${nosuch.key}", *flags]) == exit_codes.CONFIG
    assert "optimizer.lr=${nosuch.key}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (["hydra.verbose=inf"], "1. hydra.verbose=inf: Hydra cannot do this: "),
        (["hydra.run.dir=/proc/x"], "1. hydra.run.dir=/proc/x: Hydra cannot do this: "),
        (["-m", "hydra/launcher=basic", "hydra.sweep.dir=/proc/x"], "hydra.sweep.dir=/proc/x: Hydra cannot do this: "),
        (["--cfg=job", "--package=nope"], "1. package 'nope' not found in config"),
        (["--shell-completion"], "1. --shell-completion: Hydra cannot do this: "),
    ],
)
def test_what_hydra_cannot_do_is_a_refusal(given, reason, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["data=synthetic", *given]) == exit_codes.CONFIG
    said = capsys.readouterr().err
    assert reason in said
    assert "HYDRA_FULL_ERROR" not in said
    assert "Traceback" not in said
    assert not list(tmp_path.iterdir())


TERMINAL = "\x1b[31m, \x85, \u202e, \u2028, \x00 and \t"


@pytest.mark.parametrize(
    "shown", [["--cfg=job"], ["--cfg=job", "--resolve"], ["--cfg=all"], ["--cfg=job", "--package=model"]]
)
def test_a_shown_config_has_no_codes_for_a_terminal(shown, capsys):
    assert main([*shown, f"model.weights={quoted(TERMINAL)}"]) == exit_codes.DONE
    text = capsys.readouterr().out
    assert all(line.isprintable() for line in text.split("\n"))
    assert "weights: " in text


def test_a_shown_config_is_yaml_whatever_its_texts_hold(capsys):
    assert main(["--cfg=job", f"name={quoted(TERMINAL)}", "tags=['1e3','on']"]) == exit_codes.DONE
    shown = yaml.safe_load(capsys.readouterr().out)
    assert (shown["name"], shown["tags"]) == (TERMINAL, ["1e3", "on"])
