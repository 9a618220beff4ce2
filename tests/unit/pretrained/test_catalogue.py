"""The pretrained codecs: cards that say what is so, weights that are those of the card, and refusals."""

import hashlib
from pathlib import Path

import pytest
import torch
import yaml

import lic_exp
from lic_exp.config.errors import ConfigError
from lic_exp.files.identity import identity
from lic_exp.pretrained import catalogue
from lic_exp.pretrained.catalogue import PretrainedError, card, names, names_by_signature, weights_of
from lic_exp.runs.code_hash import DIGITS, KIND

MOST_BYTES = 2_000_000
"""Of a file of weights, so that the package stays small."""

FACTS = ("sha256", "codec_signature", "parameters", "kmacs_per_pixel")
"""Of a card, which can be computed."""


def computed(name: str) -> dict[str, object]:
    """FACTS, of the weights and the codec themselves."""
    known = card(name)
    codec = lic_exp.load_pretrained(name)
    counted = lic_exp.complexity(known["model"], **known.get("options", {}))
    return {
        "sha256": hashlib.sha256((catalogue.FOLDER / known["file"]).read_bytes()).hexdigest(),
        "codec_signature": identity(codec).signature.hex(),
        "parameters": sum(weight.numel() for weight in codec.parameters()),
        "kmacs_per_pixel": round(counted.macs_per_pixel / 1e3, 3),
    }


@pytest.mark.parametrize("name", names())
def test_what_a_card_says_is_so(name: str) -> None:
    known = card(name)
    assert {key: known[key] for key in FACTS} == computed(name)
    assert (known["name"], known["file"]) == (name, f"{name}.pt")
    assert known["model"] in lic_exp.list_models()
    assert all(known[key] for key in ("summary", "licence", "data", "commands", "not_for"))
    assert len(known["run_signature"]) == 16
    assert known["code_hash"].startswith(KIND)
    assert len(known["code_hash"]) == len(KIND) + DIGITS
    rates = [rate["bpp_file"] for rate in known["figures"]]
    assert rates == sorted(rates)


@pytest.mark.parametrize("name", names())
def test_weights_are_small_and_of_float16(name: str) -> None:
    path = weights_of(name)
    codec = lic_exp.load_pretrained(name)
    stored = torch.load(path, weights_only=True)
    assert path.stat().st_size <= MOST_BYTES
    assert not codec.training
    for key, weight in codec.named_parameters():
        assert stored[key].dtype == torch.float16
        assert weight.dtype == torch.float32
        assert torch.equal(weight, stored[key].float())


def test_nothing_lies_there_but_cards_and_their_weights() -> None:
    files = {path.name for path in catalogue.FOLDER.iterdir() if path.suffix not in (".py", "") and path.is_file()}
    assert files == {f"{name}.yaml" for name in names()} | {card(name)["file"] for name in names()}
    assert catalogue.DEFAULT in names()
    assert len(names_by_signature()) == len(names())


def test_weights_that_are_not_those_of_the_card_are_refused(shipped: Path) -> None:
    """Though they read as weights, and are even the same numbers."""
    weights = torch.load(shipped / "box.pt", weights_only=True)
    torch.save(weights, shipped / "box.pt")
    told = r"the weights of box, .*shipped/box\.pt, have SHA-256 [0-9a-f]{12}…, and should have [0-9a-f]{12}…: they"
    with pytest.raises(ConfigError, match=f"model.weights=box: {told} were changed or cut; install lic_exp anew"):
        lic_exp.load_pretrained("box")
    with pytest.raises(ConfigError, match=told):
        lic_exp.signature(["model=box", "model.weights=box"])


@pytest.mark.parametrize("way", ["cut", "gone"])
def test_weights_that_are_not_whole_are_refused(shipped: Path, way: str) -> None:
    path = shipped / "box.pt"
    content = path.read_bytes()
    path.unlink()
    if way == "cut":
        path.write_bytes(content[:-1])
    with pytest.raises(PretrainedError, match=r"box\.pt.*(No such file|should have).*install lic_exp anew"):
        weights_of("box")


def change(shipped: Path, **values: object) -> None:
    path = shipped / "box.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | values))


def test_a_damaged_card_is_named_and_hides_no_other(shipped: Path, caplog: pytest.LogCaptureFixture) -> None:
    (shipped / "other.yaml").write_text((shipped / "box.yaml").read_text())
    change(shipped, sha256="abc")
    with pytest.raises(ConfigError, match=r"box\.yaml cannot be read: sha256: .*; install lic_exp anew"):
        lic_exp.load_pretrained("box")
    assert len(names_by_signature()) == 1
    assert "the card of box" in caplog.text


def test_a_card_may_set_options(shipped: Path) -> None:
    change(shipped, options={"portable": False})
    assert not lic_exp.load_pretrained("box").codes_portably


def test_a_name_that_there_is_not() -> None:
    with pytest.raises(ConfigError, match=r"there is no pretrained codec bxo\. Did you mean box\? Pretrained: box"):
        lic_exp.load_pretrained("bxo")
