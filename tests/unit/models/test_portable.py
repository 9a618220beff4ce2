"""Strings that another device decodes."""

import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from other_arithmetic import OtherArithmetic
from torch import Tensor

import lic_exp
from lic_exp.config.options import options
from lic_exp.models.base import Codec, Compressed
from lic_exp.models.coding_error import CodingError
from lic_exp.models.dhic.codec import DHIC
from lic_exp.models.portable import near_lines, portable_coding
from lic_exp.models.symbol_record import recording_symbols

TINY = [name for name in options("model") if name.endswith("_tiny")]
SERIAL = [name for name in TINY if "autoregressive" in name or "cheng" in name]
PORTABLE = [*(name for name in TINY if name not in SERIAL), "dhic_tiny as released", "hpcm_tiny without attention"]
GIVEN = {
    "dhic_tiny": {"spectral_init": "random", "initial_step": [1.0, 1.0]},
    "dhic_tiny as released": {
        "spectral_init": "random",
        "initial_step": [1.0, 1.0],
        "compat": True,
        "conditioning": "table",
        "ends": "weighted_3x3",
    },
    "hpcm_tiny without attention": {"attention_heads": None},
}

OTHERWISE = {
    "reordered": {"reorder": True},
    "both": {"reorder": True, "relative": 2**-52, "seed": 1},
    "far worse, below delta": {"relative": 2**-42},
}


def made(name: str) -> Codec:
    """A codec whose predicted scales are spread over its table's rows, and beyond."""
    torch.manual_seed(0)
    codec = lic_exp.create_model(name.partition(" ")[0], **GIVEN.get(name, {})).eval()
    ends = ("prior.bias", "branch_2.1.bias", "h_s.branch.3.branch.3.bias", "h_s.4.bias")
    with torch.no_grad():
        for bias in (bias for key, bias in codec.named_parameters() if key.endswith(ends)):
            scales = bias if name == "hyperprior_tiny" else bias.chunk(2)[isinstance(codec, DHIC)]
            logarithms = torch.linspace(math.log(0.08), math.log(30), len(scales))
            scales.copy_(logarithms if isinstance(codec, DHIC) else logarithms.exp())
    codec.update()
    return codec


def image(codec: Codec, seed: int = 0) -> Tensor:
    """Far outside [0, 1], so that many symbols are not 0."""
    side = codec.facts.downsampling_factor
    return 10 * torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module", params=PORTABLE)
def codec(request: pytest.FixtureRequest) -> Codec:
    return made(request.param)


@pytest.fixture(scope="module")
def coded(codec: Codec) -> tuple[Compressed, Tensor, list[int]]:
    """What was encoded, its picture, and the checksums of its symbols."""
    with portable_coding(), recording_symbols() as record:
        compressed = codec.compress(image(codec))
    return compressed, codec.reconstruct(compressed), record.crcs


@pytest.fixture
def predicting(codec: Codec) -> Codec:
    """One whose rows hang on what was decoded."""
    if not any(codec.portable_mode().predicts(name) for name, _ in codec.named_parameters()):
        pytest.skip("it predicts nothing")
    return codec


def sent(compressed: Compressed) -> Compressed:
    return replace(compressed, state=None)


def test_a_decoder_has_the_encoders_picture_and_everything_is_as_before(codec, coded):
    compressed, picture, crcs = coded
    assert compressed.near_lines is not None
    assert [len(kind) for kind in compressed.near_lines] == [1] * len(compressed.strings)
    with recording_symbols(crcs):
        assert torch.equal(codec.decompress(sent(compressed)), picture)
    assert {parameter.dtype for parameter in codec.parameters()} == {torch.float32}
    assert near_lines() is None
    plain = codec.compress(image(codec))
    assert plain.near_lines is None
    assert torch.equal(codec.decompress(sent(plain)), codec.reconstruct(plain))


@pytest.mark.parametrize("how", OTHERWISE)
def test_other_arithmetic_writes_the_same_bytes_and_reads_the_same_symbols(how, codec, coded):
    compressed, picture, crcs = coded
    with portable_coding(), OtherArithmetic(**OTHERWISE[how]):
        again = codec.compress(image(codec))
    assert (again.strings, again.near_lines) == (compressed.strings, compressed.near_lines)
    with recording_symbols(crcs), OtherArithmetic(**OTHERWISE[how]):
        decoded = codec.decompress(sent(compressed))
    assert (decoded - picture).abs().max() < 1 / 255


CALLERS: dict[str, Callable[[Tensor], Tensor]] = {
    "channels_last": lambda x: x.contiguous(memory_format=torch.channels_last),
    "strided": lambda x: torch.stack((x, x), -1)[..., 0],
    "float64": Tensor.double,
}


@pytest.mark.parametrize("caller", [*CALLERS, "in a batch", "channels-last weights", "train mode", "autocast"])
def test_the_bytes_do_not_hang_on_who_calls(caller, codec, coded, two_threads):
    x, place = image(codec), 0
    if caller in CALLERS:
        x = CALLERS[caller](x)
    if caller == "in a batch":
        x, place = torch.cat((image(codec, 1), x, image(codec, 2))), 1
    if caller == "channels-last weights":
        codec.to(memory_format=torch.channels_last)
    codec.train(caller == "train mode")
    try:
        with torch.autocast("cpu", torch.bfloat16) if caller == "autocast" else nullcontext(), portable_coding():
            compressed = codec.compress(x)
        assert [kind[place] for kind in compressed.strings] == [kind[0] for kind in coded[0].strings]
        assert [kind[place] for kind in compressed.near_lines] == [kind[0] for kind in coded[0].near_lines]
        assert torch.equal(codec.decompress(sent(compressed))[place], coded[1][0])
    finally:
        codec.to(memory_format=torch.contiguous_format).eval()


def test_what_deviates_by_more_than_delta_is_an_error_and_no_picture(predicting, coded):
    compressed, _, crcs = coded
    with recording_symbols(crcs), OtherArithmetic(relative=0.05), pytest.raises(CodingError, match="was decoded to"):
        predicting.decompress(sent(compressed))


def test_symbols_near_a_line_are_listed_and_their_rows_taken_from_the_list(predicting, monkeypatch):
    """With a margin wider than the way between lines all are, and then no deviation flips a row."""
    mode = predicting.portable_mode()
    monkeypatch.setattr(type(predicting), "portable_mode", lambda self: replace(mode, margin=4.0))
    with portable_coding(), recording_symbols() as record:
        compressed = sent(predicting.compress(image(predicting)))
    assert sum(len(entries) for kind in compressed.near_lines for entries in kind) > 100
    with recording_symbols(record.crcs), OtherArithmetic(relative=1e-3):
        predicting.decompress(compressed)
    damaged = [[entries[:-1] for entries in kind] for kind in compressed.near_lines]
    with pytest.raises(CodingError, match="a list of table rows is damaged"):
        predicting.decompress(replace(compressed, near_lines=damaged))


def test_copies_in_float64_are_those_of_the_present_weights(predicting):
    x = image(predicting)
    with portable_coding():
        before = predicting.compress(x)
        kept = predicting.wide_copies
        predicting.compress(x)
        assert predicting.wide_copies is kept, "made once"
        names = [name for name, _ in predicting.named_parameters() if predicting.portable_mode().predicts(name)]
        weights = [predicting.get_parameter(name) for name in names if name.endswith("bias")]
        values = [weight.detach().clone() for weight in weights]
        with torch.no_grad():
            for weight in weights:
                weight.add_(0.7)
        try:
            after = predicting.compress(x)
        finally:
            with torch.no_grad():
                for weight, value in zip(weights, values, strict=True):
                    weight.copy_(value)
        again = predicting.compress(x)
    assert after.strings != before.strings == again.strings


@pytest.mark.parametrize("name", [*SERIAL, "hpcm_tiny"])
def test_codecs_that_cannot_say_so_by_name(name):
    codec = lic_exp.create_model(name, **({"compat": True} if name == "hpcm_tiny" else {})).eval()
    codec.update()
    words = f"{type(codec).__name__} has no portable mode" + (" under compat: true" if name == "hpcm_tiny" else "")
    with pytest.raises(ValueError, match=words), portable_coding():
        codec.compress(image(codec))
    compressed = Compressed([[b""], [b""]], (1, 1), near_lines=[[b""], [b""]])
    with pytest.raises(ValueError, match=words):
        codec.decompress(compressed)
