"""`model.weights=NAME`: a pretrained codec's file by its name, signed by content, whatever lies in the folder."""

import shutil
from pathlib import Path

import pytest
import torch

import lic_exp
from lic_exp.config import contents
from lic_exp.config.contents import as_path
from lic_exp.config.errors import ConfigError
from lic_exp.pretrained.catalogue import weights_of

RUN = ["model=box", "data=synthetic"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(contents, "_said", set())
    return tmp_path


def test_a_name_and_the_path_of_the_same_file_are_one_run(here: Path) -> None:
    shutil.copy(weights_of("box"), here / "copy.pt")
    named = lic_exp.load_config([*RUN, "model.weights=box"])
    assert named.model.weights == "box"
    assert named.signature == lic_exp.signature([*RUN, "model.weights=copy.pt"])
    assert named.signature != lic_exp.signature(RUN)


def test_a_file_of_that_name_is_a_path(here: Path, caplog: pytest.LogCaptureFixture) -> None:
    other = lic_exp.create_model("box", seed=5)
    torch.save(other.state_dict(), here / "box")
    by_name = lic_exp.create_model("box", weights="box")
    assert torch.equal(by_name.em_bias, lic_exp.load_pretrained("box").em_bias)
    assert caplog.text.count("model.weights=box is the pretrained codec's; the file here is ./box") == 1
    by_path = lic_exp.create_model("box", weights="./box")
    parts = [codec.state_dict() for codec in (by_path, other, by_name)]
    key = next(key for key, value in parts[1].items() if not torch.equal(value, parts[2][key]))
    assert torch.equal(parts[0][key], parts[1][key])
    assert lic_exp.signature([*RUN, "model.weights=./box"]) != lic_exp.signature([*RUN, "model.weights=box"])


def test_a_path_is_said_so_that_it_is_no_name() -> None:
    """As of `verify ./box`, which argparse makes box of."""
    assert as_path(Path("./box")) == "./box"
    assert as_path(Path("other.pt")) == "other.pt"


@pytest.mark.parametrize(
    ("weights", "told"),
    [
        ("bxo", r"model\.weights=bxo: No such file or directory\. Did you mean box\?$"),
        ("elsewhere", r"model\.weights=elsewhere: No such file or directory\. Pretrained: box\.$"),
        ("runs/bxo", r"model\.weights=runs/bxo: No such file or directory$"),
    ],
)
def test_what_is_neither_a_name_nor_a_file(weights: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        lic_exp.signature([*RUN, f"model.weights={weights}"])


def test_weights_of_another_model_say_whose_they_are() -> None:
    with pytest.raises(ConfigError, match=r"^model\.weights=box, which is of model=box: .*box\.pt does not fit Hyper"):
        lic_exp.create_model("hyperprior_tiny", weights="box")


def test_they_load_in_part_where_that_is_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    codec = lic_exp.create_model("box", weights="box", partial_weights=True, latent_channels=[8, 8, 8, 8])
    assert torch.equal(codec.em_bias, lic_exp.load_pretrained("box").em_bias)
    assert "loaded in part" in caplog.text
