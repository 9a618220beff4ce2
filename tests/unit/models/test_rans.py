"""The coder on arrays: CompressAI's bytes, by whichever way, and nothing read that is not there."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import lic_exp
from lic_exp import private_interfaces
from lic_exp.models import rans
from lic_exp.models.coding_error import CodingError
from lic_exp.models.compressai_coding import StepwiseDecoder, Tables, decode, encode
from lic_exp.models.rans import CoderByBinding, CoderInC, RowTables, row_tables
from lic_exp.models.rans_library import library

WAYS = {"C": lambda: CoderInC(library()), "binding": CoderByBinding}
MODELS = ["factorized_tiny", "mean_scale_hyperprior_tiny", "joint_autoregressive_tiny", "dhic_tiny", "hpcm_tiny"]
BAD_TABLES = {
    "a length beyond the row": ([[0, 5, 65536]], [4], [0]),
    "no length": ([[0, 5, 65536]], [0], [0]),
    "a negative length": ([[0, 5, 65536]], [-2], [0]),
    "no symbol of its own": ([[0, 5, 5, 65536]], [4], [0]),
    "falling": ([[0, 9, 5, 65536]], [4], [0]),
    "not from zero": ([[1, 5, 65536]], [3], [0]),
    "not to the end": ([[0, 5, 60000]], [3], [0]),
    "fewer lengths": ([[0, 5, 65536], [0, 6, 65536]], [3], [0, 0]),
    "fewer offsets": ([[0, 5, 65536], [0, 6, 65536]], [3, 3], [0]),
}


def has_compiler() -> bool:
    return library() is not None


@pytest.fixture(params=WAYS)
def way(request) -> rans.CoderInC | rans.CoderByBinding:
    if request.param == "C" and not has_compiler():
        pytest.skip("no C compiler")
    return WAYS[request.param]()


def tables_of(random: np.random.Generator, rows: int, longest: int) -> RowTables:
    """Distributions of 1 to `longest` symbols, from flat ones to some that are nearly certain."""
    lengths = random.integers(1, longest + 1, rows)
    cdf = np.zeros((rows, longest + 2), np.int32)
    for row, length in zip(cdf, lengths, strict=True):
        masses = random.random(length + 1) ** random.choice([0.0, 1.0, 40.0])
        row[: length + 2] = private_interfaces.quantized_cdf((masses / masses.sum()).tolist(), rans.PRECISION)
    return RowTables(cdf, lengths + 2, random.integers(-longest, 3, rows))


def symbols_of(random: np.random.Generator, tables: RowTables, count: int, escapes: float):
    indexes = random.integers(0, len(tables.cdf), count).astype(np.int32)
    inside = (random.random(count) * (tables.lengths[indexes] - 2)).astype(np.int64) + tables.offsets[indexes]
    far = (random.choice([-1, 1], count) * 2 ** (26 * random.random(count))).astype(np.int64)
    symbols = np.where(random.random(count) < escapes, far, inside)
    return symbols.astype(np.int32), indexes


def theirs(symbols, indexes, tables: RowTables) -> bytes:
    lists = tables.cdf.tolist(), tables.lengths.tolist(), tables.offsets.tolist()
    coder = private_interfaces.entropy_coder().RansEncoder()
    return coder.encode_with_indexes(symbols.tolist(), indexes.tolist(), *lists)


def drawn(seed: int, count: int, escapes: float = 0.1):
    random = np.random.default_rng(seed)
    tables = tables_of(random, rows=int(random.integers(1, 20)), longest=int(random.integers(1, 700)))
    return random, tables, *symbols_of(random, tables, count, escapes)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(3, 400), st.sampled_from([0.0, 0.1, 1.0]))
def test_the_bytes_are_those_of_compressai(seed, count, escapes):
    _, tables, symbols, indexes = drawn(seed, count, escapes)
    string = theirs(symbols, indexes, tables)
    for make in [WAYS["C"]] * has_compiler() + [WAYS["binding"]]:
        coder = make()
        assert coder.encode(symbols, indexes, tables) == string
        read = coder.reader(string, tables, count)
        assert np.array_equal(read.decode(indexes), symbols)
        assert read.comes_back()
    assert rans._encoded_here(symbols.tolist(), indexes.tolist(), tables) == string


@pytest.mark.parametrize("count", [0, 1, 2, 3])
@pytest.mark.parametrize("escapes", [0.0, 1.0])
def test_a_few_symbols_are_coded_too(way, count, escapes):
    """CompressAI's encoder has room for as many words as there are symbols, and for its last state writes two more."""
    for seed in range(20):
        _, tables, symbols, indexes = drawn(seed, count, escapes)
        string = way.encode(symbols, indexes, tables)
        assert len(string) >= 8
        read = way.reader(string, tables, count)
        assert np.array_equal(read.decode(indexes), symbols)
        assert read.comes_back()
        assert string == rans._encoded_here(symbols.tolist(), indexes.tolist(), tables)


@pytest.mark.parametrize("parts", [1, 2, 7, 50])
def test_parts_are_the_whole(way, parts):
    _, tables, symbols, indexes = drawn(3, 500)
    read = way.reader(way.encode(symbols, indexes, tables), tables, len(symbols))
    found = [read.decode(part) for part in np.array_split(indexes, parts)]
    assert np.array_equal(np.concatenate(found), symbols)
    assert read.comes_back()


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(["flip", "cut", "longer", "garbage", "zeros", "ones"]))
def test_what_is_damaged_ends_and_comes_back_only_where_it_says_what_was_read(seed, damage):
    """By both ways alike. Some damage makes another string that is whole, an escape's nibbles for instance."""
    random, tables, symbols, indexes = drawn(seed, 200)
    string = bytearray(rans._encoded_here(symbols.tolist(), indexes.tolist(), tables))
    if damage == "flip":
        string[random.integers(len(string))] ^= 1 << random.integers(8)
    elif damage == "cut":
        del string[random.integers(len(string)) :]
    elif damage == "longer":
        string += random.bytes(int(random.integers(1, 9)))
    else:
        size = int(random.integers(0, 80))
        string = bytearray({"garbage": random.bytes(size), "zeros": bytes(size), "ones": b"\xff" * size}[damage])
    for make in [WAYS["C"]] * has_compiler() + [WAYS["binding"]]:
        read = make().reader(bytes(string), tables, len(indexes))
        found = read.decode(indexes)
        assert found.shape == indexes.shape
        small = np.abs(found.astype(np.int64)).max() <= rans.LARGEST_SYMBOL
        again = rans._encoded_here(found.tolist(), indexes.tolist(), tables) if small else None
        assert read.comes_back() == (again == bytes(string))


@pytest.mark.parametrize("index", [-1, 20, 2**31 - 1])
def test_a_row_that_is_not_there_is_refused(way, index):
    _, tables, symbols, indexes = drawn(1, 30)
    string = way.encode(symbols, indexes, tables)
    indexes[7] = index
    for action in (
        lambda: way.encode(symbols, indexes, tables),
        lambda: way.reader(string, tables, 30).decode(indexes),
    ):
        with pytest.raises(IndexError, match=f"row {index} of tables of"):
            action()


@pytest.mark.parametrize("tables", BAD_TABLES.values(), ids=BAD_TABLES)
def test_tables_that_are_no_distributions_are_refused(tables):
    with pytest.raises(CodingError, match="no distributions of 16 bits"):
        RowTables(*map(np.array, tables))


@pytest.mark.parametrize("name", ["factorized_tiny", "mean_scale_hyperprior_tiny"])
def test_tables_of_a_file_are_looked_at_before_they_are_used(name):
    """CompressAI's codecs take them from weights, which may be anybody's."""
    codec = lic_exp.create_model(name).eval()
    codec.update()
    codec.entropy_bottleneck._cdf_length += 1000
    with pytest.raises(CodingError, match="no distributions"):
        codec.compress(torch.rand(1, 3, 64, 64))


def test_tables_are_made_once_for_the_same_numbers_and_anew_for_others():
    _, tables, *_ = drawn(5, 1)
    numbers = [np.array(array) for array in (tables.cdf, tables.lengths, tables.offsets)]
    made = row_tables(*numbers)
    assert row_tables(*map(np.copy, numbers)) is made
    numbers[2] += 1  # in place: it must not be what was kept
    other = row_tables(*numbers)
    assert other is not made
    assert np.array_equal(other.offsets, made.offsets + 1)
    for shift in range(2 * rans.KEPT):
        row_tables(numbers[0], numbers[1], numbers[2] + shift)
    assert len(rans._kept) <= rans.KEPT


@pytest.mark.parametrize("name", MODELS)
def test_a_codec_writes_the_same_by_either_way(name, monkeypatch):
    codec = lic_exp.create_model(name).eval()
    codec.update()
    x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    x = torch.nn.functional.interpolate(x, size=(codec.facts.downsampling_factor,) * 2)
    compressed = codec.compress(x)
    monkeypatch.setattr(rans, "_way", CoderByBinding)
    assert codec.compress(x).strings == compressed.strings
    shown = codec.decompress(compressed)
    monkeypatch.undo()
    assert torch.equal(codec.decompress(compressed), shown)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.int64, torch.int16])
@pytest.mark.parametrize("shaped", [lambda x: x, lambda x: x.reshape(6, 5, 4).transpose(0, 2)])
def test_tensors_keep_their_shape_whatever_their_kind_and_layout(kind, shaped: Callable[..., torch.Tensor]):
    tables = Tables(*map(torch.tensor, ([[0, 9, 50000, 65000, 65536]], [5], [-1])))
    symbols = shaped(torch.arange(120).remainder(5).sub(2)).to(kind)
    indexes = torch.zeros_like(symbols, dtype=torch.int64)
    string = encode(symbols, indexes, tables)
    assert torch.equal(decode(string, indexes, tables), symbols.to(torch.int32))
    step = StepwiseDecoder(string, tables, 120)
    assert torch.equal(step.decode(indexes), symbols.to(torch.int32))
    step.check()


def test_a_string_of_other_symbols_is_told(way, monkeypatch):
    monkeypatch.setattr(rans, "_way", lambda: way)
    rows = [0, 9, 50000, 65000, 65536], [0, 40000, 50000, 60000, 65536]
    tables = Tables(*map(torch.tensor, (rows, [5, 5], [-1, -1])))
    indexes = torch.zeros(50, dtype=torch.int64)
    string = encode(torch.zeros(50), indexes, tables)
    indexes[11] = 1
    step = StepwiseDecoder(string, tables, 50)
    step.decode(indexes)
    with pytest.raises(CodingError, match=f"a string of {len(string)} bytes was decoded to symbols"):
        step.check()
