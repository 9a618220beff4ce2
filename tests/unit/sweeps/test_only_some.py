"""Sweeps over options that only some of their arms have: the others run without them, and are their plain selves."""

import json

import pytest
import toy

import lic_exp
from lic_exp import exit_codes
from lic_exp.cli.launch import main
from lic_exp.config.errors import ConfigError
from lic_exp.config.validation import validate
from lic_exp.sweeps import search as searching
from lic_exp.sweeps.folder import find_sweep

COMMON = ["model=dhic_tiny", "tracker=none", "trainer.max_steps=20"]
SHARE = "spectral_reg.truncation_unit=share"


@pytest.mark.parametrize(
    ("given", "own", "left_out"),
    [
        (
            ["spectral_reg=none,intra", "spectral_reg.truncation_length=0.3", SHARE],
            {
                "spectral_reg=none": ["spectral_reg=none"],
                "spectral_reg=intra": ["spectral_reg=intra", "spectral_reg.truncation_length=0.3", SHARE],
            },
            "spectral_reg.truncation_length and spectral_reg.truncation_unit are left out where there is no such "
            "option: spectral_reg=none",
        ),
        (
            ["spectral_reg=none,intra", "spectral_reg.tau_init=0.1,0.2", "seed=0,1"],
            {
                f"spectral_reg={name}{also and f', {also}'}, seed={seed}": [
                    f"spectral_reg={name}",
                    f"seed={seed}",
                    *([also] if also else []),
                ]
                for name, tau in (("none", None), ("intra", 0.1), ("intra", 0.2))
                for seed in (0, 1)
                for also in ([f"spectral_reg.tau_init={tau}"] if tau else [""])
            },
            "spectral_reg.tau_init is left out where there is no such option: spectral_reg=none",
        ),
        (
            ["spectral_reg=none,intra,both", "spectral_reg.intra.tau_init=0.1"],
            {
                "spectral_reg=none": ["spectral_reg=none"],
                "spectral_reg=intra": ["spectral_reg=intra"],
                "spectral_reg=both": ["spectral_reg=both", "spectral_reg.intra.tau_init=0.1"],
            },
            "spectral_reg.intra.tau_init is left out where there is no such option: "
            "spectral_reg=none; spectral_reg=intra",
        ),
        (
            ["optimizer=adam,muon", "optimizer.momentum=0.9", "optimizer.lr=1e-3"],
            {
                "optimizer=adam": ["optimizer=adam", "optimizer.lr=1e-3"],
                "optimizer=muon": ["optimizer=muon", "optimizer.lr=1e-3", "optimizer.momentum=0.9"],
            },
            "optimizer.momentum is left out where there is no such option: optimizer=adam",
        ),
        (
            ["model=hyperprior_tiny,dhic_tiny", "criterion.lmbda=0.01,0.02"],
            {
                "model=hyperprior_tiny, criterion.lmbda=0.01": ["model=hyperprior_tiny", "criterion.lmbda=0.01"],
                "model=hyperprior_tiny, criterion.lmbda=0.02": ["model=hyperprior_tiny", "criterion.lmbda=0.02"],
                "model=dhic_tiny": ["model=dhic_tiny"],
            },
            "criterion.lmbda is left out where there is no such option: model=dhic_tiny",
        ),
    ],
)
def test_an_arm_without_the_option_is_its_plain_self(given, own, left_out, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    plan = lic_exp.plan([*COMMON, *given])
    signed = {label: lic_exp.signature([*COMMON, *overrides]) for label, overrides in own.items()}
    assert dict(zip(plan["label"], plan["signature"], strict=True)) == signed
    assert main(["-m", *COMMON, *given, "plan=true"]) == exit_codes.DONE
    assert left_out in capsys.readouterr().out.splitlines()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["spectral_reg=none,intra", "spectral_reg.tau_inti=0.1"], "spectral_reg.tau_inti: there is no such key. Did"),
        (["spectral_reg=none,intra", "spectral_reg.tau_init=7"], "spectral_reg.tau_init=7: should be"),
        (["spectral_reg=none", "seed=0,1", "spectral_reg.tau_init=0.1"], "there is no such key; spectral_reg has no"),
        (["spectral_reg=none,intra", "spectral.tau_init=0.1"], "spectral: there is no such key"),
        (["spectral_reg=none,intra", "trainer.maxsteps=9"], "trainer.maxsteps: there is no such key"),
    ],
)
def test_what_no_arm_has_or_takes_is_refused(given, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["-m", *COMMON, *given, "plan=true"]) == exit_codes.CONFIG
    assert message in capsys.readouterr().err
    with pytest.raises(ConfigError, match=r"there is no such key|should be"):
        lic_exp.sweep([*COMMON, *given])
    assert list(tmp_path.iterdir()) == []


def test_a_single_run_has_no_other_arms():
    with pytest.raises(ConfigError, match="spectral_reg=intra has it"):
        lic_exp.load_config(["spectral_reg=none", "spectral_reg.tau_init=0.1"])


@pytest.mark.parametrize(("flag", "first"), [("spectral_reg=none,intra", True), ("spectral_reg=intra,none", False)])
def test_a_shown_config_says_what_its_run_goes_without(flag, first, capsys):
    assert main(["-m", *COMMON, flag, "spectral_reg.tau_init=0.1", "--cfg", "job"]) == exit_codes.DONE
    shown = capsys.readouterr()
    assert ("# left out, as it has no such option: spectral_reg.tau_init" in shown.err) is first
    assert ("tau_init: 0.1" in shown.out) is not first


def test_a_launcher_of_hydras_own_cannot_leave_anything_out(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    given = ["-m", *COMMON, "spectral_reg=none,intra", "spectral_reg.tau_init=0.1", "hydra/launcher=basic"]
    assert main(given) == exit_codes.CONFIG
    said = capsys.readouterr().err
    assert "hydra/launcher=basic gives all overrides to every run: spectral_reg.tau_init is left out where" in said
    assert list(tmp_path.iterdir()) == []


SWEPT = """# @package _global_
sweep:
  product: {spectral_reg: [intra, none], spectral_reg.tau_init: [0.1, 0.2]}
  seeds: [3, 4]
  baseline: {spectral_reg: none, spectral_reg.tau_init: 0.2}
"""


def test_an_experiments_sweep_too(toy_folder, tmp_path, monkeypatch):
    toy.write_package(tmp_path, "toys_with_options", {"__init__.py": "", "conf/experiment/some.yaml": SWEPT})
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    plan = lic_exp.plan([f"plugins=[{toy.NAME},toys_with_options]", *toy.SHORT_RUN, "experiment=some"])
    assert list(plan["label"]) == [
        *(f"spectral_reg=intra, spectral_reg.tau_init={tau}, seed={seed}" for tau in (0.1, 0.2) for seed in (3, 4)),
        *(f"spectral_reg=none, seed={seed}" for seed in (3, 4)),
    ]
    assert [bool(text) for text in plan["differs"]] == [
        True,
        True,
        True,
        True,
        False,
        True,
    ]  # the baseline is the plain one


def test_a_search_too(toy_folder, tmp_path, monkeypatch, capsys):
    roles = []

    def made_up(sweep, options, cells):
        for cell in cells:
            validate(json.loads(sweep.frozen(cell).read_text())["config"])
            roles.append(dict(cell.role))
        return exit_codes.PREEMPTED

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(searching, "run_sweep", made_up)
    axes = ["spectral_reg=none,intra", "spectral_reg.tau_init=interval(0.1,0.2)"]
    chosen = ["-m", "hydra/sweeper=search", "hydra.sweeper.trials=6", "hydra.sweeper.batch=6"]
    given = [f"plugins=[{toy.NAME}]", *toy.SHORT_RUN, "evaluation.enabled=false"]
    assert main([*chosen, *given, *axes]) == exit_codes.PREEMPTED
    assert (
        "spectral_reg.tau_init is left out where there is no such option: spectral_reg=none" in capsys.readouterr().err
    )
    assert roles.count({"spectral_reg": "none"}) == 1  # one run, however often it is proposed
    assert {"spectral_reg": "intra"}.items() <= roles[-1].items() or len(roles) > 1
    assert all(("spectral_reg.tau_init" in role) is (role["spectral_reg"] == "intra") for role in roles)
    assert len(find_sweep(None, "runs").manifest["trials"]) == 6
