"""`verify` with synthetic weights: what it shows, and what it refuses."""

import json

import pytest
import torch

import lic_exp
from lic_exp import exit_codes
from lic_exp.__main__ import main
from lic_exp.cli import verify
from lic_exp.cli.verify import published_of
from lic_exp.config.errors import ConfigError
from lic_exp.runs.build import made_current, resolve_device


def test_the_published_points_are_the_readmes():
    plain, msssim = published_of("hpcm_base", "kodak")
    assert plain.results["bpp"] == (0.1211, 0.1757, 0.2729, 0.4125, 0.5898, 0.8209)
    assert plain.results["psnr"] == (29.4022, 30.7547, 32.4012, 34.2063, 36.0145, 37.7525)
    assert set(msssim.results) == {"bpp", "ms-ssim-db"}
    assert plain.about["source"]["repo"].endswith("LIC-HPCM")
    assert published_of("hpcm_tiny", "kodak") == []
    with pytest.raises(ConfigError, match=r"--published: .*kodac"):
        published_of("hpcm_base", "kodac")


def test_a_checkpoint_is_measured_and_compared(tmp_path, photos, capsys, monkeypatch):
    """A tiny model stands for Base, whose points it is set beside: the parts are the same."""
    curves = published_of("hpcm_base", "kodak")
    monkeypatch.setattr(verify, "published_of", lambda model, dataset: curves)
    torch.save({"state_dict": lic_exp.create_model("hpcm_tiny", compat=True).state_dict()}, tmp_path / "released.pth")
    arguments = ["verify", str(tmp_path / "released.pth"), "--model", "hpcm_tiny", "--data", str(photos / "val")]
    assert main([*arguments, "--device", "cpu", "--out", str(tmp_path / "out")]) == exit_codes.DONE
    said = capsys.readouterr().out
    for part in ("exact", "published: hpcm_base on Kodak", "0.1211", "measured PSNR dB", "LIC-HPCM", "c271cfe"):
        assert part in said
    assert (tmp_path / "out/images.csv").is_file()
    for goal, others in (("mse", "ms-ssim"), ("ms-ssim", "mse")):
        place = tmp_path / goal
        assert main([*arguments, "--device", "cpu", "--optimized-for", goal, "--out", str(place)]) == exit_codes.DONE
        assert json.loads((place / "rd_point.json").read_text())["optimized_for"] == goal
        said = capsys.readouterr().out
        titles = {"mse": "measured PSNR dB", "ms-ssim": "measured MS-SSIM dB"}
        assert titles[goal] in said
        assert titles[others] not in said
    assert main([*arguments, "--no-compat"]) == exit_codes.CONFIG
    said = capsys.readouterr().err
    assert "leave out --no-compat" in said
    assert "model.compat" not in said


def test_of_two_weights_in_a_checkpoint_one_is_named(tmp_path, photos, capsys):
    weights = lic_exp.create_model("hpcm_tiny", compat=True).state_dict()
    torch.save({"net": weights, "ema": {key: value + 1 for key, value in weights.items()}}, tmp_path / "both.pth")
    arguments = ["verify", str(tmp_path / "both.pth"), "--model", "hpcm_tiny", "--data", str(photos / "val")]
    assert main(arguments) == exit_codes.CONFIG
    assert "holds weights under net and ema: say which" in capsys.readouterr().err
    assert main([*arguments, "--weights-key", "mean"]) == exit_codes.CONFIG
    assert "holds no weights under mean: there are tensors under net, ema" in capsys.readouterr().err
    assert main([*arguments, "--weights-key", "ema", "--no-compat"]) == exit_codes.CONFIG
    assert "not of the corrected mode" in capsys.readouterr().err


def test_a_folder_without_images(tmp_path, capsys):
    torch.save(lic_exp.create_model("hpcm_tiny", compat=True).state_dict(), tmp_path / "released.pth")
    arguments = ["verify", str(tmp_path / "released.pth"), "--model", "hpcm_tiny", "--data", str(tmp_path / "none")]
    assert main(arguments) == exit_codes.CONFIG
    assert "--data: " in capsys.readouterr().err


@pytest.mark.parametrize("name", ["zz", "cuda:x", "cpu ", "\x1b[31m"])
def test_a_device_that_torch_does_not_know_is_refused_by_name(name):
    with pytest.raises(
        ConfigError, match=r"trainer.device=.*: there is no such device: write auto, cpu, cuda or cuda:0"
    ):
        resolve_device(name)


@pytest.mark.parametrize("name", ["meta", "mps", "xpu:1"])
def test_a_device_that_nothing_is_computed_on_is_refused_by_name(name):
    kind = name.partition(":")[0]
    with pytest.raises(ConfigError, match=f"trainer.device={name}: nothing is trained or coded on {kind}: write auto"):
        resolve_device(name)


@pytest.mark.parametrize("number", [2, 77, 128, 256, 1000])
def test_a_gpu_that_is_not_there_is_none_of_those_that_are(monkeypatch, number):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ConfigError, match=f"trainer.device=cuda:{number}: this machine has 2 CUDA devices"):
        resolve_device(f"cuda:{number}")


@pytest.mark.parametrize(("name", "own"), [("cuda:1", ["cuda:1"]), ("cuda", ["cuda"]), ("cpu", [])])
def test_a_gpu_is_the_current_one_while_it_is_used_and_not_longer(monkeypatch, name, own):
    said = []

    class Current:
        def __init__(self, device):
            self.device = str(device)

        def __enter__(self):
            said.append(self.device)

        def __exit__(self, *_):
            said.append("as before")

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "device", Current)
    device = resolve_device(name)
    assert str(device) == name
    with made_current(device):
        assert said == own
    assert said == [*own, *(["as before"] if own else [])]
