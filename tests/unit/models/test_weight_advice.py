"""What is said of weights that cannot be taken names the file, the key, and what the next command must say."""

import shlex

import pytest
import torch

import lic_exp
from lic_exp.config.loading import load_config
from lic_exp.models.files import CheckpointError
from lic_exp.models.weights import load_weights

KEYS = [
    0,
    12,
    "a b",
    "c=d",
    "null",
    "True",
    "1e5",
    'say "x"',
    "a\\b",
    "a\\",
    '\\"',
    "é",
    "a,b",
    "m.0.ema",
    "x-y/z",
    "inf",
]


@pytest.fixture(scope="module")
def codec():
    return lic_exp.create_model("hyperprior_tiny")


@pytest.mark.parametrize("key", KEYS)
def test_a_key_is_advised_as_an_override_takes_it(codec, tmp_path, key):
    """A list's places are numbers, and a key may be any text."""
    average = {name: value + 1 for name, value in codec.state_dict().items()}
    torch.save({"model": codec.state_dict(), key: average}, tmp_path / "w.pt")
    with pytest.raises(CheckpointError) as error:
        load_weights(codec, tmp_path / "w.pt", partial=False)
    _, _, advice = str(error.value).partition("model.weights_key=model or ")
    assert load_config(["model.weights=w.pt", *shlex.split(advice)]).model.weights_key == str(key)


@pytest.mark.parametrize("judge", ["check_weights", "complete_weights"])
def test_what_a_codec_says_of_weights_names_their_file(codec, tmp_path, monkeypatch, judge):
    def wrong(weights):
        raise ValueError("made for the other mode")

    torch.save(codec.state_dict(), tmp_path / "w.pt")
    monkeypatch.setattr(codec, judge, wrong)
    with pytest.raises(ValueError, match=r"w\.pt: made for the other mode$"):
        load_weights(codec, tmp_path / "w.pt", partial=True)


@pytest.mark.parametrize("dtype", [torch.int8, torch.int64, torch.bool])
@pytest.mark.parametrize("partial", [True, False])
def test_whole_numbers_are_no_weights(codec, tmp_path, dtype, partial):
    """They would be converted in silence, without the scale that belongs to them."""
    torch.save(codec.state_dict() | {"g_s.2.bias": torch.ones(len(codec.g_s[2].bias), dtype=dtype)}, tmp_path / "w.pt")
    with pytest.raises(ValueError, match=r"w\.pt: g_s\.2\.bias has whole numbers \((int8|int64|bool)\), as of a"):
        load_weights(codec, tmp_path / "w.pt", partial=partial)
