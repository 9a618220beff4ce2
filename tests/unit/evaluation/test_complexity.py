"""Complexity of codecs: counted against numbers by hand, of whatever form the computation has."""

import json
import logging

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lic_exp
from lic_exp import exit_codes
from lic_exp.__main__ import main
from lic_exp.capabilities import CodecFacts
from lic_exp.config.loading import load_config
from lic_exp.config.options import options
from lic_exp.evaluation.complexity import ITSELF, complexity
from lic_exp.models.base import Codec, CodecOutput, CodingPart
from lic_exp.runs.complexity import record_complexity
from lic_exp.tracking.run_folder import RunFolder


class Pointwise(nn.Module):
    """A 1x1 convolution written as a matrix product."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        y = self.conv.weight.flatten(1) @ x.flatten(2) + self.conv.bias[:, None]
        return y.view(batch, channels, height, width)


class Rows(nn.Module):
    """Each row's positions attend to each other; `how` it is written must not matter."""

    def __init__(self, channels: int, how: str) -> None:
        super().__init__()
        self.how, self.attention = how, nn.MultiheadAttention(channels, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        rows = x.permute(0, 2, 3, 1).flatten(0, 1)
        if self.how == "module":
            return x + self.attention(rows, rows, rows, need_weights=False)[0].sum()
        q, k, v = F.linear(rows, self.attention.in_proj_weight).chunk(3, -1)
        if self.how == "sdpa":
            seen = F.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None])[:, 0]
        else:
            seen = torch.einsum("bij,bjc->bic", (q @ k.mT).softmax(-1), v)
        return x + self.attention.out_proj(seen).sum()


class Mixed(Codec):
    """Every form of computation once. On 16 x 16 positions of 8 channels unless said otherwise."""

    facts = CodecFacts(downsampling_factor=4, latents=1)
    coding_parts = (
        CodingPart("posterior", ("blocks.*.1",), encode=True, decode=False),
        CodingPart("blocks", ("blocks",), encode=True, decode=True),
        CodingPart("tables", ("*_rate",), encode=True, decode=True),
        CodingPart("analysis", ("down",), encode=True, decode=False),
        CodingPart("synthesis", ("up",), encode=False, decode=True),
    )

    def __init__(self, how: str = "sdpa") -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(3, 8, 5, stride=4, padding=2), nn.ReLU())
        # Called one by one: a ModuleList is never called itself.
        self.blocks = nn.ModuleList(
            [nn.Sequential(Pointwise(8), nn.Conv2d(8, 8, 3, padding=1, groups=4)) for _ in "ab"]
        )
        self.rows = Rows(8, how)
        self.up = nn.ConvTranspose2d(8, 3, 4, stride=4, groups=1)
        self.fine_rate = nn.Parameter(torch.zeros(64, 8))
        self.mix = nn.Parameter(torch.eye(8))
        self.register_buffer("table", torch.zeros(100))
        self.log: list[str] = []

    def forward(self, x: Tensor) -> CodecOutput:
        y = self.down(x) * self.fine_rate[-1].exp()[:, None, None]
        for block in self.blocks:
            y = block(y)
        y = self.rows(y)
        y = torch.einsum("oc,bchw->bohw", self.mix, y)
        y_hat = y.round() + torch.rand(1)
        self.log.append("seen")
        return CodecOutput(self.up(y_hat), {"y": y_hat.square()}, (y_hat,))


POSITIONS = 16 * 16
BY_HAND = {
    "posterior": (2 * (8 * 2 * 9 + 8), 2 * 8 * 2 * 9 * POSITIONS),
    "blocks": (2 * (8 * 8 + 8), 2 * 8 * 8 * POSITIONS),
    "tables": (64 * 8, 0),
    "analysis": (8 * 3 * 25 + 8, 8 * 3 * 25 * POSITIONS),
    "synthesis": (8 * 3 * 16 + 3, 8 * 3 * 16 * POSITIONS),
    # Four 8 x 8 projections, and two products of 16 x 16 positions of a row with 8 channels.
    "rows": (4 * 8 * 8 + 4 * 8, (4 * 8 * 8 + 2 * 16 * 8) * POSITIONS),
    ITSELF: (8 * 8, 8 * 8 * POSITIONS),
}


@pytest.mark.parametrize("how", ["module", "sdpa", "products"])
def test_every_form_of_computation_by_hand(how):
    codec = Mixed(how)
    found = complexity(codec, 64, 64)
    assert {part.name: (part.parameters, part.macs) for part in found.parts} == BY_HAND
    assert found.parameters == sum(p.numel() for p in codec.parameters())
    assert found.macs_per_pixel == sum(macs for _, macs in BY_HAND.values()) / 64**2


def test_who_needs_a_part_is_unknown_where_the_codec_does_not_say():
    codec = Mixed()
    assert complexity(codec).encode_macs_per_pixel is None
    codec.coding_parts = (*Mixed.coding_parts, CodingPart("rest", ("rows", "mix", ""), encode=True, decode=False))
    found = complexity(codec, 64, 64)
    macs = {part.name: part.macs for part in found.parts}
    assert list(macs) == ["posterior", "blocks", "tables", "analysis", "synthesis", "rest"]
    assert found.encode_macs_per_pixel == (sum(macs.values()) - macs["synthesis"]) / 64**2
    assert found.decode_macs_per_pixel == (macs["blocks"] + macs["synthesis"]) / 64**2


def test_the_codec_and_the_random_numbers_stay_as_they_are():
    codec = Mixed().train()
    codec.compile()
    before, state = torch.get_rng_state(), {name: value.clone() for name, value in codec.state_dict().items()}
    complexity(codec)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(value, state[name]) for name, value in codec.state_dict().items())
    assert all(module.training for module in codec.modules())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in codec.modules())
    assert codec.log == []


def hand_count_of_mean_scale(N, M):
    """MACs per pixel of CompressAI's mbt2018-mean from its paper's layers; z is 1/64 of the sides, y 1/16.

    Analysis and synthesis cost the same: a transposed convolution works once per position that it reads.
    """
    conv = 25 * (3 * N / 4 + N * N / 16 + N * N / 64 + N * M / 256)
    gdn = N * N / 4 + N * N / 16 + N * N / 64
    h_a = (9 * M * N + 25 * N * N / 4 + 25 * N * N / 16) / 256
    h_s = 25 * N * M / 4096 + 25 * M * (3 * M // 2) / 1024 + 9 * (3 * M // 2) * 2 * M / 256
    # Two ends of a bin, each through matrices of 1x3, 3x3 (three times) and 3x1 per symbol of z.
    density = 2 * (3 + 3 * 9 + 3) * N / 64**2
    return {"g_a": conv + gdn, "h_a": h_a, "h_s": h_s, "g_s": conv + gdn, "density": density}


@pytest.mark.parametrize("size", [(256, 256), (64, 128)])
@pytest.mark.parametrize(("N", "M"), [(128, 192), (192, 320)])
def test_mean_scale_hyperprior_by_hand(N, M, size):
    found = lic_exp.complexity("mean_scale_hyperprior", size=size, N=N, M=M)
    expected = hand_count_of_mean_scale(N, M)
    assert {part.name: found.per_pixel(part.macs) for part in found.parts} == expected
    assert found.macs_per_pixel == sum(expected.values())
    assert found.encode_macs_per_pixel == expected["g_a"] + expected["h_a"] + expected["h_s"]
    assert found.decode_macs_per_pixel == expected["g_s"] + expected["h_s"]


def test_mean_scale_hyperpriors_parameters():
    """The density has per channel 3 + 27 + 3 matrix entries, 13 biases, 12 factors, and 3 quantiles."""
    found = lic_exp.complexity("mean_scale_hyperprior")
    parameters = {part.name: part.parameters for part in found.parts}
    assert parameters["density"] == 128 * (33 + 13 + 12 + 3)
    assert found.parameters == sum(p.numel() for p in lic_exp.create_model("mean_scale_hyperprior").parameters())


@pytest.mark.parametrize("name", options("model"))
def test_every_codec_says_what_encoding_and_decoding_need(name):
    found = lic_exp.complexity(name)
    assert 0 < found.encode_macs_per_pixel < found.macs_per_pixel
    assert 0 < found.decode_macs_per_pixel < found.macs_per_pixel


def test_a_model_of_any_size_is_counted_without_its_weights():
    """Eight billion parameters would need 32 GB."""
    before = torch.get_rng_state()
    found = lic_exp.complexity("factorized", N=10_000, M=9_000)
    assert found.parameters > 8e9
    assert torch.equal(torch.get_rng_state(), before)
    assert found.to_dict()["height"] == 256


def test_sizes_that_a_codec_does_not_take():
    codec = Mixed()
    assert (complexity(codec).height, complexity(codec, width=4).width) == (256, 4)
    codec.facts = CodecFacts(downsampling_factor=96, latents=1)
    assert complexity(codec).height == 288
    with pytest.raises(ValueError, match="100x288 is no size for Mixed: its sides are multiples of 96"):
        complexity(codec, 100)


def test_a_run_records_its_codecs_complexity(small_run):
    recorded = json.loads(RunFolder(small_run).complexity.read_text())
    found = lic_exp.complexity("hyperprior_tiny").to_dict()
    assert recorded == found
    assert recorded["parameters"] == sum(part["parameters"] for part in recorded["parts"])


def test_a_codec_that_cannot_be_counted_is_warned_of(tmp_path, caplog):
    class Looks(Mixed):
        def forward(self, x: Tensor) -> CodecOutput:
            return super().forward(x if x.mean() > 0 else -x)

    run = RunFolder(tmp_path)
    with caplog.at_level(logging.WARNING, "lic_exp"):
        record_complexity(Looks(), run, load_config(["model=factorized_tiny"]))
    assert not run.complexity.exists()
    (record,) = caplog.records
    assert record.getMessage().startswith("no complexity.json, since counting failed: DataDependentOutputException")
    assert record.exc_info


def test_the_verb_shows_parts_and_sums(capsys):
    assert main(["complexity", "mean_scale_hyperprior", "model.N=64", "--size", "64x128"]) == exit_codes.DONE
    shown = capsys.readouterr().out
    found = lic_exp.complexity("mean_scale_hyperprior", N=64)
    assert "counted on 64x128 pixels" in shown
    for part in found.parts:
        assert f"{part.parameters:,}" in shown
    assert f"{found.parameters:,} │ {found.macs_per_pixel / 1e3:11.3f} " in shown
    assert f"encoding: {found.encode_macs_per_pixel / 1e3:.3f} KMACs/pixel" in shown


def test_the_verb_prints_what_a_run_records(capsys):
    assert main(["complexity", "hyperprior_tiny", "--json"]) == exit_codes.DONE
    assert json.loads(capsys.readouterr().out) == lic_exp.complexity("hyperprior_tiny").to_dict()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["hyperprio"], "Did you mean hyperprior?"),
        (["hyperprior", "model.n=3"], "Did you mean model.N?"),
        (["hyperprior", "model.N=3,4"], "describe several models"),
        (["hyperprior", "--size=64"], "--size=64: should be height x width in pixels"),
        (["hyperprior", "--size=64x65"], "multiples of 64"),
    ],
)
def test_the_verbs_errors(arguments, said, capsys):
    assert main(["complexity", *arguments]) == exit_codes.CONFIG
    assert said in capsys.readouterr().err
