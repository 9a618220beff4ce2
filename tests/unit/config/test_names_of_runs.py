"""Which command lines mean one run, and which do not. The names themselves are for ever: thirty of them stand here."""

import json
import re
import sys
from pathlib import Path

import pytest
import toy
from checkout import ROOT

import lic_exp
from lic_exp.config import validation
from lic_exp.config.errors import ConfigError
from lic_exp.config.loading import load_config
from lic_exp.config.options import groups, options
from lic_exp.config.signing import signed_part
from lic_exp.option_types import Neutral

EXPECTED = ROOT / "tests/expected/signatures.json"

PHOTOS = ("data=synthetic", "trainer.device=cpu", "trainer.threads=1")
NO_MODEL_OF_ITS_OWN = {
    "criterion=mse": ["model=hyperprior_tiny"],
    "criterion=ms_ssim": ["model=hyperprior_tiny", "data.crop_size=192"],
    "criterion=balanced_mse": ["model=hyperprior_tiny"],
    "model=hpcm_base": ["data.crop_size=256"],
    "model=hpcm_large": ["data.crop_size=256"],
}

GOLDEN = [
    [],
    ["seed=1"],
    ["experiment=demo"],
    ["model=hpcm_tiny", "data.crop_size=128"],
    *([f"model={name}"] for name in ("dhic_tiny", "factorized_tiny", "hyperprior_tiny")),
    *([f"model={name}"] for name in ("mean_scale_hyperprior", "joint_autoregressive", "cheng2020_attention", "dhic")),
    *([f"spectral_reg={name}"] for name in ("intra", "inter", "both", "inter_hinge", "inter_ratio")),
    *([f"optimizer={name}"] for name in ("adam", "adamw", "cautious_adam", "muon", "sgd", "soap")),
    *([f"scheduler={name}"] for name in ("constant", "cosine", "multistep", "plateau")),
    ["model=hyperprior_tiny", "criterion=mse", "criterion.lmbda=0.0250"],
    ["model=hyperprior_tiny", "criterion=ms_ssim", "data.crop_size=192"],
    ["model=hyperprior_tiny", "criterion=balanced_mse", "criterion.share_lr=0.01"],
    ["criterion=balanced"],
    ["trainer.max_steps=null", "trainer.max_epochs=7", "data.steps_per_epoch=3"],
    ["trainer.max_steps=null", "stages=[{steps: 3}, {steps: 2, optimizer: {lr: 1e-5}, optimizer_state: reset}]"],
    ["trainer.precision=bf16", "trainer.ema_decay=0.99", "trainer.eval_weights=ema"],
    ["spectral_reg=both", "spectral_reg.intra.tau_init=0.1", "spectral_reg.overlap=5"],
]
"""With synthetic images, which no package can change."""


def sign(*overrides: str) -> str:
    return load_config([*PHOTOS, *overrides]).signature


def test_names_stay() -> None:
    """A change here renames everybody's runs. `python tests/unit/config/test_names_of_runs.py` writes them anew."""
    known = json.loads(EXPECTED.read_text())

    assert len(known) >= 30
    assert {" ".join(line): sign(*line) for line in GOLDEN} == known


ONE_NAME = [
    (["data.num_workers=0"], ["data.num_workers=3"]),
    (["data.cache_mb=1"], ["data.cache_mb=99"]),
    (["data.store_mb=0"], ["data.store_mb=99"]),
    (["model.portable=false"], ["model.portable=true"]),
    (["paths.runs=here"], ["paths.runs=/there"]),
    (["tracker=none"], ["tracker=mlflow"]),
    (["tracker.mlflow.uri=sqlite:///a.db"], ["tracker.mlflow.experiment=other"]),
    (["name=a"], ["name=b", "tags=[c,d]"]),
    (["trainer.log_every_steps=1"], ["trainer.checkpoint_every_steps=1"]),
    (["trainer.try_step=false"], ["trainer.resume=never"]),
    (["trainer.resume_elsewhere=false"], ["trainer.resume_elsewhere=true"]),
    (["trainer.profile=false"], ["trainer.profile=true"]),
    (["evaluation.enabled=false"], ["evaluation.enabled=true"]),
    (["evaluation.limit=1"], ["evaluation.limit=null"]),
    (["evaluation.pictures=0"], ["evaluation.pictures=9"]),
    (["evaluation.qualities=[0,63]"], ["evaluation.qualities=null"]),
    (["trainer.nonfinite_budget=3"], ["trainer.nonfinite_budget=4"]),
    (["optimizer.reg_lr=1e-5"], ["optimizer.reg_lr=null"]),
    (
        ["trainer.max_steps=null", "trainer.max_epochs=5", "data.steps_per_epoch=100"],
        ["trainer.max_steps=500", "data.steps_per_epoch=100"],
    ),
    (["data.steps_per_epoch=null", "data.batch_size=4"], ["data.steps_per_epoch=2", "data.batch_size=4"]),
    (["data.preflight=off"], ["data.preflight=fail"]),
    (["model.partial_weights=true"], ["model.partial_weights=false"]),
    (["model.freeze=[g_a*,h_a*]"], ["model.freeze=[h_a*,g_a*,h_a*]"]),
    (["trainer.max_steps=1e3"], ["trainer.max_steps=1000"]),
    (["trainer.max_steps=3"], ["trainer.max_steps=null", "stages=[{steps: 3}]"]),
    (["scheduler.final_factor=0"], ["scheduler.final_factor=-0.0"]),
    (["optimizer.lr=1e-3"], ["optimizer.lr=0.001"]),
    (
        ["trainer.max_steps=null", "stages=[{steps: 2, optimizer_state: reset}]"],
        ["trainer.max_steps=null", "stages=[{steps: 2, optimizer_state: keep}]"],
    ),
]


@pytest.mark.parametrize(("one", "other"), ONE_NAME)
def test_one_training_has_one_name(one: list[str], other: list[str]) -> None:
    assert sign(*one) == sign(*other)


MANY_NAMES = [
    [[], ["seed=1"]],
    [[], ["optimizer.lr=3e-4"], ["optimizer.aux_lr=3e-4"]],
    [[], ["trainer.precision=bf16"], ["trainer.precision=fp16"]],
    [[], ["data.image_seed=1"], ["data.train_images=9"], ["data.val_images=1"]],
    [[], ["trainer.max_steps=499"], ["trainer.validate_every_steps=50"]],
    [["trainer.on_nonfinite=skip", f"trainer.nonfinite_budget={budget}"] for budget in (1, 2)],
    [["spectral_reg=inter", f"optimizer.reg_lr={rate}"] for rate in ("1e-5", "1e-4")],
    [["spectral_reg=inter", "optimizer=muon", f"optimizer.reg_lr={rate}"] for rate in ("null", "0.002", "0.02")],
    [["init_from='0123456789abcdef'", f"model.partial_weights={partial}"] for partial in ("true", "false")],
    [["data.steps_per_epoch=10"], ["data.steps_per_epoch=20"]],
    [["data.preflight=skip"], ["data.preflight=fail"]],
    [["model.freeze=[g_a*]"], ["model.freeze=[g_s*]"], []],
    [["optimizer.lr_factors={g_a: 0.1, g_s: 0.5}"], ["optimizer.lr_factors={g_s: 0.5, g_a: 0.1}"]],
    [["spectral_reg=intra"], ["spectral_reg=inter"], ["spectral_reg=both"], []],
    [["model=hyperprior_tiny"], ["model=dhic_tiny"], ["model=factorized_tiny"]],
]


@pytest.mark.parametrize("lines", MANY_NAMES)
def test_different_trainings_have_different_names(lines: list[list[str]]) -> None:
    assert len({sign(*line) for line in lines}) == len(lines)


def strings(node: object) -> list[str]:
    if isinstance(node, dict):
        return [text for part in node.values() for text in strings(part)]
    return [text for part in node for text in strings(part)] if isinstance(node, list) else [str(node)]


@pytest.mark.parametrize("option", [f"{group}={name}" for group in groups() for name in options(group)])
def test_no_import_path_is_signed(option: str, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "not_installed", lambda path, component: iter(()))  # optional packages
    data = [f"data.train=['{photos}/train']", f"data.val=['{photos}/val']"]
    group, _, _name = option.partition("=")
    folders = group in ("scale", "experiment") or option == "data=folder"
    try:
        config = load_config([option, *NO_MODEL_OF_ITS_OWN.get(option, []), *(data if folders else [])])
    except ConfigError:  # it compares scales, or is for a range of rates
        config = load_config([option, "model=dhic_tiny"])

    signed = strings(signed_part(config))

    assert not [text for text in signed if re.search(r"\blic_exp\b|^\w+(\.[A-Za-z_]\w*)+$", text)]


@pytest.mark.usefixtures("toy_folder")
class TestPlugin:
    def test_it_is_signed_by_its_package_and_name(self) -> None:
        config = load_config([*PHOTOS, f"plugins=[{toy.NAME}]", "model=toy"])

        assert signed_part(config)["model"]["component"]["name"] == f"{toy.NAME}:Toy"

    def test_another_package_or_name_is_another_run(self, toy_folder: Path) -> None:
        """The same code under another name may become other code, and nobody would see it."""
        twin = {path: text.replace(toy.NAME, "toy_twin") for path, text in toy.FILES.items()}
        toy.write_package(toy_folder, "toy_twin", twin)
        lines = [(toy.NAME, "toy"), (toy.NAME, "toy_pyramid"), ("toy_twin", "toy")]

        names = {sign(f"plugins=[{package}]", f"model={model}", "data.crop_size=32") for package, model in lines}

        assert len(names) == len(lines)


def test_an_option_added_later_is_neutral_at_the_value_that_means_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Goldens stay although a key is there that they were made without."""
    before = sign()
    field = type(load_config(PHOTOS).trainer).model_fields["channels_last"]
    monkeypatch.setattr(field, "metadata", [Neutral(False)])

    assert "channels_last" not in signed_part(load_config(PHOTOS))["trainer"]
    assert sign() != before, "it was signed before"
    assert sign("trainer.channels_last=true") != sign()


def test_python_and_the_command_line_give_the_same_name() -> None:
    assert lic_exp.signature([*PHOTOS, "seed=3"]) == sign("seed=3")


if __name__ == "__main__":
    EXPECTED.write_text(json.dumps({" ".join(line): sign(*line) for line in GOLDEN}, indent=1) + "\n")
    print(f"{EXPECTED}: {len(GOLDEN)} names", file=sys.stderr)
