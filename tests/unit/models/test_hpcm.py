"""HPCM on small graphs: against a plain rendering of its specification, and what coding and weights promise."""

import logging
from dataclasses import replace
from types import ModuleType

import golden_hpcm as golden
import pytest
import torch
from checkout import program
from operators import Operators
from torch import Tensor

import lic_exp
from lic_exp.component_schema import describe
from lic_exp.config.errors import ConfigError
from lic_exp.models.coding_error import CodingError
from lic_exp.models.hpcm.cdf_tables import boundaries, coding_tables, scale_table
from lic_exp.models.hpcm.codec import HPCM, TABLES
from lic_exp.models.hpcm.compat import CORRECTED
from lic_exp.models.hpcm.likelihood import EntropyEstimation, survival
from lic_exp.models.hpcm.partition import PARTS, STEPS_OF_S3, move, partition

SMALL = {"M": 16, "N": 8, "widths": [8, 12, 16], "hyper_width": 12, "attention_heads": 4}
NARROW = {"adaptor_depths": [1, 1, 2], "prior_s1_s2_depths": [1, 1, 1], "prior_s3_depths": [1, 1, 1]}
GRAPHS = {
    "tiny": ("hpcm_tiny", SMALL, [2, 4, 4]),
    "large": ("hpcm_large", SMALL | {"analysis_depths": [1, 1, 2, 0], "synthesis_depths": [1, 0, 2, 0]}, [4, 8, 8]),
    "phi": ("hpcm_phi", SMALL | {"attention_heads": None}, [4, 8, 8]),
    "1b": (
        "hpcm_1b",
        SMALL | NARROW | {"attention_heads": None, "analysis_depths": [1, 2, 1, 1], "synthesis_depths": [1, 1, 2, 1]},
        [4, 8, 8],
    ),
}
"""Every variant's graph with narrow layers: model, overrides, windows."""


@pytest.fixture(scope="module")
def plain() -> ModuleType:
    """The benchmarks' plain rendering, which shares no code with the codec."""
    return program("benchmarks/measuring/hpcm_plain.py")


def made(graph: str = "tiny", **overrides) -> HPCM:
    name, options, _ = GRAPHS[graph]
    codec = lic_exp.create_model(name, **options | overrides)
    golden.fill(codec)
    codec.update()
    return codec.eval()


def images(height: int, width: int) -> Tensor:
    x = golden.image(height, width)
    return torch.cat((x, x.flip(1, 3)))


@pytest.fixture(scope="module", params=[True, False], ids=["compat", "corrected"])
def codec(request):
    return made(compat=request.param)


@pytest.mark.parametrize("compat", [True, False], ids=["compat", "corrected"])
@pytest.mark.parametrize("graph", GRAPHS)
@torch.no_grad()
def test_estimates_are_those_of_the_plain_rendering(graph, compat, plain):
    """Two images, twice as wide as high, in float64."""
    name, options, windows = GRAPHS[graph]
    codec = made(graph, compat=compat).double()
    side = codec.facts.downsampling_factor
    x = images(side, 2 * side).double()
    output = codec(x)
    expected = plain.PlainHPCM(codec.state_dict(), options["attention_heads"], windows, compat=compat).forward(x)
    torch.testing.assert_close(output.x_hat, expected.x_hat, rtol=0, atol=1e-12)
    for latent, wanted in zip(output.latents, expected.latents, strict=True):
        torch.testing.assert_close(latent, wanted, rtol=0, atol=1e-12)
    for name, wanted in (("y", expected.y_likelihood), ("z", expected.z_likelihood)):
        torch.testing.assert_close(output.likelihoods[name], wanted, rtol=0, atol=1e-12)
    assert expected.q.unique().numel() > 4


@pytest.mark.parametrize("graph", ["tiny", "1b"])
def test_gradients_are_those_of_the_plain_rendering(graph, plain, monkeypatch):
    _, options, windows = GRAPHS[graph]
    codec = made(graph, compat=True).double().train()
    monkeypatch.setattr(codec.noise, "forward", torch.zeros_like)
    x = images(128, 256).double()
    output = codec(x)
    (sum(bits.sum() for bits in output.bits.values()) + 100 * (output.x_hat - x).square().sum()).backward()
    found = {name: parameter.grad for name, parameter in codec.named_parameters()}
    codec.zero_grad()
    weights = dict(codec.named_parameters())
    heads = options["attention_heads"]
    reference = plain.PlainHPCM(weights, heads, windows, compat=True, training=True, noise=torch.zeros_like)
    expected = reference.forward(x)
    rate = -expected.y_likelihood.log2().sum() - expected.z_likelihood.log2().sum()
    (rate + 100 * (expected.x_hat - x).square().sum()).backward()
    for name, parameter in weights.items():
        assert parameter.grad is not None
        atol = 1e-9 * max(1.0, parameter.grad.abs().max().item())
        torch.testing.assert_close(found[name], parameter.grad, rtol=1e-6, atol=atol, msg=name)


def test_the_eight_part_tiles_follow_their_rule(plain):
    tiles = ["/".join("".join(map(str, row)) for row in tile) for tile in plain.eight_part()]
    assert tiles == list(STEPS_OF_S3)


@pytest.mark.parametrize("compat", [True, False], ids=["compat", "corrected"])
def test_steps_cover_every_symbol_once(compat):
    """And each has every position in one group of channels, or packing would lose symbols."""
    grid = partition(8, 16, compat, torch.device("cpu"))
    for steps, parts in zip(grid.steps, PARTS, strict=True):
        assert (steps.sum(0) == 1).all()
        own_group = steps.unflatten(1, (parts, -1))[:, :, 0]
        assert (own_group.sum(1) == 1).all()
    coded_before = grid.steps[2][0] | grid.steps[2][1]
    assert torch.equal(coded_before.flatten(1), grid.s2_to_s3.keep)
    assert torch.equal(grid.steps[1][0].flatten(1), grid.s1_to_s2.keep)
    assert torch.equal(grid.hyper_to_s2.keep, ~grid.s1_to_s2.keep)


def test_moving_there_and_back():
    grid = partition(8, 16, False, torch.device("cpu"))
    x = torch.randn(2, 32, 8, 16, dtype=torch.float64)
    down = move(x, grid.to_s2, 4, 8, 2)
    assert torch.equal(down[:, 0], x[:, 0, ::2, ::2])
    assert torch.equal(down[:, 3], x[:, 3, 1::2, 1::2])  # eight groups of two, twice
    back = move(down, grid.s2_to_s3, 8, 16, 2)
    assert torch.equal(move(back, grid.to_s2, 4, 8, 2), down)
    assert back.count_nonzero() == down.numel()
    x.requires_grad_()
    for how, height, width in ((grid.to_s1, 2, 4), (grid.hyper_to_s2, 4, 8)):
        assert torch.autograd.gradcheck(lambda t, a=how, h=height, w=width: move(t, a, h, w, 2), x, fast_mode=True)


@torch.no_grad()
def test_each_latent_contains_the_coarser_one(codec):
    x = images(128, 256)
    s1, s2, s3 = codec(x).latents
    grid = partition(8, 16, codec.compat, x.device)
    assert torch.equal(move(s3, grid.to_s2, 4, 8), s2)
    assert torch.equal(move(s3, grid.to_s1, 2, 4), s1)


def mass(v: float, scale: float, *, compat: bool, dtype: torch.dtype = torch.float32) -> float:
    model = EntropyEstimation(compat).to(dtype)
    return 2 ** -model(torch.tensor([v], dtype=dtype), torch.tensor([scale], dtype=dtype)).item()


def test_the_released_tails_and_ours():
    assert mass(6, 1, compat=True) == pytest.approx(3.576e-7, rel=1e-3)
    assert mass(-6, 1, compat=True) == pytest.approx(3.874e-7, rel=1e-3)
    assert mass(7, 1, compat=True) == pytest.approx(1e-9, rel=1e-5)
    assert mass(6, 1, compat=False) == mass(-6, 1, compat=False) == pytest.approx(3.755e-7, rel=1e-3)
    assert mass(-7, 1, compat=False) == pytest.approx(8.87e-9, rel=1e-3)
    assert mass(9, 1, compat=False) == pytest.approx(1e-9, rel=1e-5)
    assert mass(0, 0.01, compat=False) == mass(0, 0.12, compat=False)


@pytest.mark.parametrize("scale", [0.12, 0.5, 1.0, 3.7, 20.0, 64.0])
def test_our_mass_is_right_to_the_floor_and_falls(scale):
    """In float32, against float64, up to the last symbol whose mass is above the floor; with finite gradients."""
    v = torch.arange(0.0, 400.0, 0.25, requires_grad=True)
    scales = torch.full_like(v, scale, requires_grad=True)
    bits = EntropyEstimation(compat=False)(v, scales)
    exact = EntropyEstimation(compat=False).double()(v.double(), scales.double())
    torch.testing.assert_close(bits.double(), exact, rtol=1e-4, atol=2e-5)
    assert (bits.diff() >= -1e-4).all()
    negative = EntropyEstimation(compat=False)(-v, scales)
    assert torch.equal(bits, negative)
    bits.sum().backward()
    assert v.grad.isfinite().all()
    assert scales.grad.isfinite().all()
    assert (v.grad >= 0).all()


@pytest.mark.parametrize("compat", [True, False])
def test_the_likelihoods_gradient(compat):
    v = torch.tensor([-3.2, -0.7, -0.2, 0.0, 0.3, 1.4, 4.0], dtype=torch.float64, requires_grad=True)
    scale = torch.tensor([0.9, 0.4, 1.0, 2.0, 0.2, 3.0, 1.1], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(EntropyEstimation(compat).double(), (v, scale))


def test_our_tables_count_both_tails_and_take_the_nearest_scale():
    scales = scale_table()
    cdf, lengths, offsets = coding_tables(scales, compat=False)
    for row, length, offset, scale in zip(cdf, lengths.tolist(), offsets.tolist(), scales.double(), strict=True):
        frequencies = row[:length].diff()
        assert frequencies.sum() == 65536
        assert frequencies.min() > 0
        expected = 1 - 2 * survival(0.5 / scale).item()
        assert frequencies[-offset] / 65536 == pytest.approx(expected, abs=3e-2 * expected)
    between = boundaries(scales, compat=False)
    assert ((between > scales[:-1]) & (between < scales[1:])).all()
    assert torch.equal(boundaries(scales, compat=True), scales[:-1])


@pytest.mark.parametrize("size", [(1, 1), (17, 31), (255, 257)])
@torch.no_grad()
def test_coding_is_exact_at_any_size(codec, size):
    x = images(*size)
    padded = codec.pad(x)
    assert torch.equal(codec.crop(padded, *size), x)
    assert padded.sum() == pytest.approx(x.sum().item(), rel=1e-5)
    compressed = codec.compress(padded)
    assert [len(images) for images in compressed.strings] == [2, 2]
    decoded = codec.decompress(replace(compressed, state=None))
    assert torch.equal(decoded, codec.reconstruct(compressed))
    torch.testing.assert_close(decoded, codec(padded).x_hat.clamp(0, 1), rtol=0, atol=1e-5)
    alone = codec.compress(padded[1:])
    assert [string for (string,) in alone.strings] == [second for _, second in compressed.strings]
    assert codec.crop(decoded, *size).shape == x.shape


def test_padding_is_centred():
    codec = made()
    padded = codec.pad(torch.ones(1, 3, 17, 130))
    assert padded.shape == (1, 3, 128, 256)
    rows, columns = padded[0, 0].sum(1).nonzero().flatten(), padded[0, 0].sum(0).nonzero().flatten()
    assert (rows[0].item(), columns[0].item()) == (55, 63)
    whole = torch.ones(1, 3, 128, 128)
    assert codec.pad(whole) is whole


@torch.no_grad()
def test_other_arithmetic_is_reported():
    """Decoders whose scales differ, or strings that are not what was sent: an error, never another picture."""
    codec = made()
    compressed = codec.compress(images(128, 256)[:1])
    y_string, z_string = (string for (string,) in compressed.strings)
    damaged = bytes([*y_string[:40], y_string[40] ^ 1, *y_string[41:]])
    for strings in ([damaged, z_string], [y_string[:-4], z_string], [y_string, z_string[4:]], [b"", z_string]):
        with pytest.raises(CodingError, match=r"decoded to symbols that it does not stand for"):
            codec.decompress(replace(compressed, strings=[[string] for string in strings]))
    codec.y_spatial_prior_s3.branch_2[-1].bias += 1e-2
    with pytest.raises(CodingError, match="another device or precision"):
        codec.decompress(compressed)


@pytest.mark.parametrize("training", [True, False])
def test_no_boolean_index_and_no_wait_for_the_device(codec, training):
    """After the first pass, which makes the tables."""
    x = images(128, 256)
    codec.train(training)
    try:
        codec(x)
        with Operators() as seen:
            codec(x)
    finally:
        codec.eval()
    slow = ("nonzero", "masked_select", "aten.index.", "index_put", "_local_scalar_dense", "_to_copy", "arange")
    assert not [name for name in seen.names if any(part in name for part in slow)]
    assert any("scaled_dot_product" in name for name in seen.names)


@pytest.mark.slow
def test_one_graph_compiles():
    codec = made().train()
    x = images(128, 128)
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    compiled = torch.compile(codec, fullgraph=True, backend="aot_eager")
    for _ in range(2):
        torch.manual_seed(0)
        found = compiled(x)
    torch.manual_seed(0)
    torch.testing.assert_close(found.x_hat, codec(x).x_hat)
    found.bits["y"].sum().backward()
    assert codec.g_a.branch[0].weight.grad.abs().max() > 0
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1


@pytest.mark.parametrize(("graph", "factor"), [("tiny", 128), ("large", 256)])
def test_other_sizes_are_refused(graph, factor):
    codec = made(graph)
    for height, width in ((factor, factor // 2), (factor + 64, factor), (64, 64)):
        with pytest.raises(ValueError, match=rf"{height}x{width}, but sides must be multiples of {factor}"):
            codec(torch.zeros(1, 3, height, width))


def without(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key: value for key, value in state.items() if not key.startswith(prefix)}


@pytest.mark.parametrize("how", ["plain", "wrapped", "parallel", "with tables", "the first release"])
def test_released_weights_load(how, tmp_path, caplog):
    """As every script that is known to have written them left them."""
    caplog.set_level(logging.WARNING, "lic_exp.models")
    released = made(compat=True)
    state: dict = {key: value for key, value in released.state_dict().items() if key not in TABLES}
    state = {**state, **dict.fromkeys(TABLES, torch.zeros(0))}
    if how == "with tables":
        state = released.state_dict()
    if how == "parallel":
        state = {f"module.{key}": value for key, value in state.items()}
    if how == "the first release":
        state = without(state, "adaptive_params_list.")
    torch.save({"state_dict": state} if how == "wrapped" else state, tmp_path / "released.pth.tar")
    loaded = lic_exp.create_model("hpcm_tiny", **SMALL, compat=True, weights=str(tmp_path / "released.pth.tar"))
    assert torch.equal(loaded.scales_hyper, released.scales_hyper)
    gains = loaded.adaptive_params_list[3]
    if how == "the first release":
        assert "the weights lack adaptive_params_list.0" in caplog.text
        assert "filled with 1" in caplog.text
        assert (gains == 1).all()
    else:
        assert ("module. was taken off their names" in caplog.text) if how == "parallel" else not caplog.text
        assert torch.equal(gains, released.adaptive_params_list[3])


def test_weights_that_do_not_fit_name_their_keys(tmp_path):
    state = made(compat=True).state_dict()
    torch.save(without(state, "context_net.") | {"surplus": torch.zeros(1)}, tmp_path / "weights.pt")
    with pytest.raises(ConfigError, match=r"missing context_net\.0\.bias, .*; unknown surplus"):
        lic_exp.create_model("hpcm_tiny", **SMALL, compat=True, weights=str(tmp_path / "weights.pt"))


def test_weights_remember_the_mode(tmp_path):
    """Neither kind is read as the other: not from a file, in part or whole, nor by load_state_dict."""
    corrected, compat = made(compat=False), made(compat=True)
    assert set(corrected.state_dict()) - set(compat.state_dict()) == {CORRECTED}
    with pytest.raises(ValueError, match=r"of the corrected mode .*set model.compat=false$"):
        compat.load_state_dict(corrected.state_dict())
    with pytest.raises(ValueError, match=r"released HPCM.*set model.compat=true$"):
        corrected.load_state_dict(compat.state_dict())
    corrected.load_state_dict(made(compat=False).state_dict())
    torch.save({"state_dict": compat.state_dict()}, tmp_path / "released.pth.tar")
    for partial in (False, True):
        with pytest.raises(ConfigError, match=r"model\.weights.*set model.compat=true$"):
            made(compat=False, weights=str(tmp_path / "released.pth.tar"), partial_weights=partial)


def test_a_scale_of_z_that_is_none():
    codec = made(compat=True)
    with torch.no_grad():
        codec.scales_hyper[0, 2] = -0.5
    with pytest.raises(ValueError, match=r"scales_hyper: a scale of -0\.5 has no coding table"):
        codec.update()
    corrected = made(compat=False)
    corrected.load_state_dict(corrected.state_dict() | {"scales_hyper": codec.scales_hyper})
    corrected.update()
    x = images(128, 128)
    with torch.no_grad():
        compressed = corrected.compress(x)
        assert torch.equal(corrected.decompress(compressed), corrected.reconstruct(compressed))


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        ({"widths": [8, 8]}, "widths is .* needs 3 entries"),
        ({"M": 20}, "M is 20, but must be a multiple of 8"),
        ({"attention_heads": 7}, "attention_heads is 7, but must divide 2 M = 96"),
        ({"partial_ratio": 30}, "partial_ratio is 30, but of 24 channels that leaves none"),
        ({"attention_windows": [4, 8, 8]}, "need images whose sides are multiples of 256, but HPCM128 is for 128"),
    ],
)
def test_options_that_make_no_codec(overrides, told):
    with pytest.raises(ConfigError, match=told):
        lic_exp.create_model("hpcm_tiny", **overrides)


def test_windows_without_heads_are_not_used():
    one, other = (
        lic_exp.create_model("hpcm_tiny", attention_heads=None, attention_windows=w) for w in ([2, 4, 4], [8, 8, 8])
    )
    assert describe("lic_exp.models.hpcm.codec.HPCM128").unused({"attention_heads": None}) == {"attention_windows"}
    other.load_state_dict(one.state_dict())
    x = torch.rand(1, 3, 128, 128)
    assert torch.equal(one.eval()(x).x_hat, other.eval()(x).x_hat)
