"""Lists of the table rows of symbols whose scale is near to a line."""

import math
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lic_exp.models.coding_error import CodingError
from lic_exp.models.near_lines import Following, Listing, log_scales

LINES = log_scales(0.11, 20.0, 64)[:-1]
MARGIN = 1e-9


def scales_near(places: dict[int, tuple[int, float]], count: int, seed: int = 0) -> Tensor:
    """Scales in the middle between two lines; those of `places`, {place: (line, how much)}, so much beside a line."""
    rows = torch.from_numpy(np.random.default_rng(seed).integers(0, len(LINES) - 1, count))
    lines = torch.tensor(LINES, dtype=torch.float64)
    logarithms = (lines[rows] + lines[rows + 1]) / 2
    for place, (line, beside) in places.items():
        logarithms[place] = LINES[line] + beside
    return logarithms.exp()


def followed(lists: list[bytes], scales: Tensor, *, parts: int = 1, string: object = "y") -> Tensor:
    following = Following(lists)
    found = torch.cat([following.rows(part, LINES, string) for part in scales.chunk(parts)])
    following.finish()
    return found


@pytest.mark.parametrize("beside", [0.0, 0.9e-9, -0.9e-9, 1e-12])
@pytest.mark.parametrize(("count", "parts"), [(4, 1), (50_000, 1), (50_000, 11)])
def test_a_decoder_that_computes_a_little_else_has_the_same_rows(beside, count, parts):
    """What lies nearer than the margin is on the other side for the decoder."""
    places = {0: (0, beside), 1: (62, beside), count // 2: (30, beside), count - 1: (31, beside)}
    scales = scales_near(places, count)
    listing = Listing(MARGIN)
    rows = torch.cat([listing.rows(part, LINES, "y") for part in scales.chunk(parts)])
    (entries,) = listing.lists(1)
    assert len(entries) < 4 * 5
    other = scales.clone()
    for place, (line, _) in places.items():
        across = LINES[line] + (-1 if rows[place] > line else 1) * 1e-9
        other[place] = math.exp(across)
    plain = torch.bucketize(other.log(), torch.tensor(LINES, dtype=torch.float64))
    assert [place for place in places if plain[place] == rows[place]] == []
    assert torch.equal(followed([entries], other, parts=parts), rows)


def test_nothing_farther_from_a_line_is_listed_and_rows_are_those_of_the_scales():
    ends = torch.tensor([0.0, -3.0, 1e9, 0.11], dtype=torch.float64)
    scales = torch.cat((scales_near({7: (5, 1.1e-9), 9: (5, -1.1e-9)}, 64), ends))
    listing = Listing(MARGIN)
    rows = listing.rows(scales, LINES, "y")
    assert listing.lists(3) == [bytes([67, 0]), b"", b""], "the scale of the first line itself"
    assert rows[-4:].tolist() == [0, 0, 63, 0]
    assert torch.equal(rows[:-4], torch.bucketize(scales[:-4], torch.tensor(LINES, dtype=torch.float64).exp()))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 999), unique=True, max_size=9), st.integers(1, 7), st.randoms())
def test_a_list_holds_any_places_and_strings_have_lists_of_their_own(places, parts, random):
    count = 1000
    near = {place: (random.randrange(63), 0.0) for place in places}
    strings = [("a", scales_near(near, count, 1)), ("b", scales_near({}, 5)), ("c", scales_near({3: (4, 0.0)}, 5))]
    listing = Listing(MARGIN)
    rows = {name: [listing.rows(part, LINES, name) for part in scales.chunk(parts)] for name, scales in strings}
    lists = listing.lists(3)
    assert (len(lists[1]), len(lists[2])) == (0, 2)
    following = Following(lists)
    for name, scales in strings:
        for part, expected in zip(scales.chunk(parts), rows[name], strict=True):
            assert torch.equal(following.rows(part * (1 + 1e-12), LINES, name), expected)
    following.finish()


DAMAGED = {
    "a gap without end": (b"\xff" * 9, "a list of table rows is damaged at its byte 0"),
    "a gap that is cut": (b"\x00\x05\x80", "a list of table rows is damaged at its byte 2"),
    "no row": (b"\x03", "ends? without a row"),
    "a row that there is not": (b"\x00\x40", "a list names table row 64, but rows are 0 to 63"),
    "a symbol that there is not": (b"\x0a\x00", "a list names table rows of symbols that there are not"),
    "a symbol far behind": (b"\xff\xff\xff\xff\x7f\x00", "a list names table rows of symbols that there are not"),
}


@pytest.mark.parametrize("case", DAMAGED)
@pytest.mark.parametrize("parts", [1, 3])
def test_a_damaged_list_is_refused(case, parts):
    content, message = DAMAGED[case]
    with pytest.raises(CodingError, match=message):
        followed([content], scales_near({}, 10), parts=parts)


def test_lists_that_no_string_asks_for_and_strings_without_one_are_refused():
    with pytest.raises(CodingError, match="of symbols that there are not"):
        followed([b"", b"\x00\x00"], scales_near({}, 10))
    with pytest.raises(CodingError, match="fewer lists of table rows than strings"):
        followed([], scales_near({}, 10))


def test_any_bytes_are_read_or_refused():
    random = np.random.default_rng(5)
    for _ in range(300):
        content = random.bytes(int(random.integers(0, 12)))
        try:
            followed([content], scales_near({}, 1000))
        except CodingError:
            continue


@pytest.mark.parametrize(
    ("table", "expected"),
    [((0.11, 20.0, 64), 2204882542), ((0.11, 256.0, 64), 3538487845), ((0.12, 64.0, 60), 3089483232)],
)
def test_lines_are_the_same_numbers_for_ever(table, expected):
    """To twelve digits, far below any margin: files rely on them."""
    lines = np.round(np.array(log_scales(*table)), 12)
    assert zlib.crc32(lines.astype("<f8").tobytes()) == expected
