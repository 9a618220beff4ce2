"""Models of ours take nothing of CompressAI but its compiled coder, and code as if they took it all."""

import subprocess
import sys

import pytest
import torch
from checkout import ROOT
from compressai import ans
from compressai.entropy_models import GaussianConditional

from lic_exp import private_interfaces
from lic_exp.models.compressai_coding import gaussian_tables

RUN = """
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torchvision", "torch_geometric", "einops"):
            raise ImportError(f"{{name}} is blocked")

sys.meta_path.insert(0, Blocked())
from lic_exp.cli.launch import main

assert main({overrides}) == 0
assert not [name for name in sys.modules if name.split(".")[0] == "compressai"]
"""
CODER_FIRST = """
from lic_exp import private_interfaces

tables = [[0, 20000, 50000, 65536]], [4], [-1]
string = private_interfaces.entropy_coder().RansEncoder().encode_with_indexes([0, -1, 5], [0, 0, 0], *tables)
assert "compressai" not in sys.modules

import compressai.ans
from compressai.entropy_models import GaussianConditional

assert private_interfaces.entropy_coder().RansDecoder is compressai.ans.RansDecoder
assert compressai.ans.RansDecoder().decode_with_indexes(string, [0, 0, 0], *tables) == [0, -1, 5]
"""


def python(code, folder):
    command = [sys.executable, "-W", "ignore", "-c", f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n{code}"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("model", "criterion"), [("dhic_tiny", "variable_rate"), ("hpcm_tiny", "mse")])
def test_a_run_of_a_model_of_ours_imports_no_compressai(model, criterion, tmp_path):
    """Training, validation and real strings: what CompressAI needs for its own models need not be there either."""
    overrides = [f"model={model}", f"criterion={criterion}", "debug=limit", "data=synthetic", "data.crop_size=128"]
    overrides += ["tracker=none", "trainer.max_steps=2", "evaluation.pictures=0"]
    done = python(RUN.format(overrides=overrides), tmp_path)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.glob("runs/*/eval/rd_point.json"))


def test_compressai_imported_after_its_coder_is_as_ever(tmp_path):
    done = python(CODER_FIRST, tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_coder_is_that_of_a_compressai_imported_before():
    assert private_interfaces.entropy_coder().RansEncoder is ans.RansEncoder


@pytest.mark.parametrize(
    ("scales", "tail_mass"), [([0.11, 1.0, 20.0], 1e-9), ([0.5], 1e-9), ([0.2, 0.3, 64.0, 256.0], 1e-6)]
)
def test_tables_are_those_of_compressais_gaussian(scales, tail_mass):
    theirs = GaussianConditional(scales, tail_mass=tail_mass)
    theirs.update()
    cdf, lengths, offsets = gaussian_tables(scales, tail_mass)
    assert torch.equal(cdf, theirs.quantized_cdf)
    assert torch.equal(lengths, theirs.cdf_length)
    assert torch.equal(offsets, theirs.offset)
