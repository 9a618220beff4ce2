"""`export --dtype float16`: half the bytes, and the codec that they make is the one that is named."""

from pathlib import Path

import pytest
import torch
from training_parts import unequal

import lic_exp
from lic_exp import exit_codes
from lic_exp.__main__ import main
from lic_exp.files.identity import identity
from lic_exp.models.weights import TABLES, export_halved, halve
from lic_exp.runs.export import export_codec
from lic_exp.training.checkpoint import Checkpoints, load_checkpoint


def test_a_run_in_float16(small_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = [small_run.name, "--runs", str(small_run.parent)]
    assert main(["export", *run, "--out", f"{tmp_path}/whole.pth"]) == exit_codes.DONE
    assert main(["export", *run, "--out", f"{tmp_path}/half.pth", "--dtype", "float16"]) == exit_codes.DONE
    told = capsys.readouterr().out
    whole, half = (torch.load(tmp_path / f"{name}.pth", weights_only=True) for name in ("whole", "half"))
    assert half.keys() == {key for key in whole if not key.endswith(TABLES)}
    codec = lic_exp.create_model("hyperprior_tiny", weights=f"{tmp_path}/half.pth")
    parameters = dict(codec.named_parameters())
    for key, value in half.items():
        assert value.dtype == (torch.float16 if key in parameters else whole[key].dtype)
        if key in parameters:
            assert torch.equal(value, whole[key].half())
            assert torch.equal(value.float(), parameters[key])
    assert f"as .lic files name the codec: hyperprior {identity(codec).signature.hex()}" in told
    assert "float16" in told


def test_buffers_that_float16_has_not_stay(tmp_path: Path) -> None:
    """CompressAI's bound of likelihoods, 1e-9, would be 0."""
    codec = lic_exp.create_model("factorized_tiny")
    halve(codec)
    export_halved(codec, tmp_path / "half.pth")
    stored = torch.load(tmp_path / "half.pth", weights_only=True)
    small = [value for key, value in stored.items() if value.is_floating_point() and 0 < value.abs().max() < 1e-7]
    assert small
    assert all(value.dtype == torch.float32 for value in small)


def test_what_is_too_large_for_it_is_named() -> None:
    codec = lic_exp.create_model("factorized_tiny")
    torch.nn.init.constant_(codec.g_a[0].bias, 1e5)
    with pytest.raises(ValueError, match=r"g_a\.0\.bias reaches 100000, and 65504 is the largest"):
        halve(codec)


def test_all_that_codes_with_a_run_has_its_settled_tails(small_run: Path) -> None:
    """Those kept as best, whoever asks; the last ones too, which the training itself goes on with as they are."""
    run = lic_exp.find_run(small_run.name, runs=small_run.parent)
    files = Checkpoints(small_run / "checkpoints", run.signature)
    best, step = (load_checkpoint(p)["codec"]["entropy_bottleneck.quantiles"] for p in (files.best, files.steps()[-1]))
    assert torch.equal(best[..., 1], step[..., 1])
    assert (best[..., 2] > 2 * step[..., 2]).all(), "whose density has tails of hundreds"
    last, _ = export_codec(run, last=True)
    for codec in (run.codec(), export_codec(run, last=False)[0]):
        assert torch.equal(codec.entropy_bottleneck.quantiles, best)
        assert unequal(dict(codec.weights_for_coding()), dict(codec.state_dict())) == []
    assert unequal(dict(last.weights_for_coding()), dict(last.state_dict())) == []
    assert (last.entropy_bottleneck.quantiles[..., 2] > 2 * step[..., 2]).all()
