"""What encoder and decoder record of the symbols between them."""

import zlib
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

import lic_exp
from lic_exp.config.options import options
from lic_exp.models.base import Codec
from lic_exp.models.coding_error import CodingError
from lic_exp.models.compressai_coding import StepwiseDecoder, decode, encode, gaussian_tables
from lic_exp.models.symbol_record import recording_symbols

TINY = [name for name in options("model") if name.endswith("_tiny")]

STRINGS = {"dhic_tiny": 4, "factorized_tiny": 1}
"""Of the others: a hyperprior's and the latent's."""


@pytest.fixture(scope="module", params=TINY)
def codec(request: pytest.FixtureRequest) -> Codec:
    codec = lic_exp.create_model(request.param).eval()
    codec.update()
    return codec


def images(codec: Codec, count: int) -> Tensor:
    """Far outside [0, 1], since the latents of an untrained codec would round to zeros."""
    side = codec.facts.downsampling_factor
    return 100 * torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(3))


def crc(*symbols: int) -> int:
    return zlib.crc32(np.array(symbols, "<i4").tobytes())


def test_a_decoder_records_what_its_encoder_has_recorded(codec, request):
    count = STRINGS.get(request.node.callspec.params["codec"], 2)
    with recording_symbols() as encoder:
        compressed = codec.compress(images(codec, 2))
    with recording_symbols() as decoder:
        codec.decompress(replace(compressed, state=None))
    assert encoder.crcs == decoder.crcs
    assert len(encoder.crcs) == 2 * count
    alone = []
    for image in images(codec, 2).split(1):
        with recording_symbols() as record:
            codec.compress(image)
        alone += record.crcs
    assert alone == encoder.crcs


def test_other_symbols_have_another_checksum(codec):
    """The last string's, the finest latent: some of its bytes are changed."""
    compressed = codec.compress(images(codec, 1))
    with recording_symbols() as good:
        codec.decompress(compressed)
    last = len(compressed.strings) - 1 if len(good.crcs) == 4 else 0  # of two kinds the hyperprior's is second
    (string,) = compressed.strings[last]
    damaged = bytes([*string[:8], *(byte ^ 255 for byte in string[8:12]), *string[12:]])
    strings = [[damaged] if kind == last else own for kind, own in enumerate(compressed.strings)]
    with recording_symbols() as bad, suppress(CodingError):  # where it has been seen otherwise
        codec.decompress(replace(compressed, strings=strings, state=None))
    assert bad.crcs[:-1] == good.crcs[:-1]
    assert bad.crcs[-1] != good.crcs[-1]


def test_a_decoder_that_is_told_stops_at_the_first_string_of_other_symbols(codec):
    compressed = replace(codec.compress(images(codec, 1)), state=None)
    with recording_symbols() as good:
        picture = codec.decompress(compressed)
    with recording_symbols(good.crcs):
        assert torch.equal(codec.decompress(compressed), picture)
    for place in range(len(good.crcs)):
        told = [crc ^ (at == place) for at, crc in enumerate(good.crcs)]
        with recording_symbols(told) as record, pytest.raises(CodingError, match=f"string {place + 1} was decoded to"):
            codec.decompress(compressed)
        assert record.crcs == good.crcs[: place + 1], "nothing after it was decoded"
        with recording_symbols(good.crcs[:place]), pytest.raises(CodingError, match=f"string {place + 1} was"):
            codec.decompress(compressed)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int32, torch.int64])
def test_it_is_the_crc_of_the_symbols_in_coding_order(dtype):
    tables = gaussian_tables([0.11, 1.0, 20.0], 1e-9)
    symbols, rows = torch.tensor([[0, -3, 1], [700, 2, 0]]), torch.tensor([[0, 1, 1], [2, 1, 0]])
    with recording_symbols() as record:
        string = encode(symbols.to(dtype), rows, tables)
        encode(symbols.to(dtype)[:, 1:], rows[:, 1:], tables)
    assert record.crcs == [crc(0, -3, 1, 700, 2, 0), crc(-3, 1, 2, 0)]
    with recording_symbols() as record:
        decode(string, rows, tables)
    assert record.crcs == [crc(0, -3, 1, 700, 2, 0)]
    with recording_symbols() as record:
        decoder = StepwiseDecoder(string, tables, symbols.numel())
        for row in rows:
            decoder.decode(row)
        decoder.check()
    assert record.crcs == [crc(0, -3, 1, 700, 2, 0)], "all parts of a string are one"


def test_nothing_is_recorded_outside_nor_in_an_outer_record():
    tables, rows = gaussian_tables([1.0], 1e-9), torch.zeros(4)
    with recording_symbols() as outer:
        with recording_symbols() as inner:
            encode(torch.full((4,), 1), rows, tables)
        encode(torch.full((4,), 2), rows, tables)
    encode(torch.full((4,), 3), rows, tables)
    assert (inner.crcs, outer.crcs) == ([crc(1, 1, 1, 1)], [crc(2, 2, 2, 2)])
