"""Bytes of any kind where a .lic file should be: a clear error within bounds, or the picture; nothing else."""

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from checkout import ROOT
from file_codecs import FOUR

DECODER = """
import json, resource, sys
from time import process_time
from random import Random

paths, name, other, first, count = json.loads(sys.argv[1])
sys.path[:0] = paths
import numpy as np
from file_codecs import codec_of, pixels
from lic_damage import damaged
from lic_exp.files.coding import decode_image, encode_image
from lic_exp.files.layout import FileError
from lic_exp.files.parsing import parse
from lic_exp.files.partial import decode_image_partially

codec, image = codec_of(name), pixels(64, 100)
foreign = encode_image(image, codec_of(other))
files = [encode_image(image, codec), encode_image(image, codec, memory=1)]
try:
    files.append(encode_image(image, codec, portable=True))
except ValueError:
    assert codec.codes_on_cpu, name  # the only one here that has no portable mode
expected = [decode_image(file, codec, form="array") for file in files]
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
refused = wrong = 0
longest = 0.0
for seed in range(first, first + count):
    file, good = files[seed % len(files)], expected[seed % len(files)]
    data = damaged(file, foreign, Random(seed))
    for decode in (decode_image, decode_image_partially):
        began = process_time()
        try:
            shown = decode(data, codec, form="array")
        except FileError as error:
            refused += decode is decode_image
            assert str(error).isprintable() and len(str(error)) < 1000, (seed, str(error))
        except BaseException as error:
            raise AssertionError(f"seed {seed}") from error
        else:
            same = shown.shape == good.shape and shown.dtype == good.dtype
            if decode is decode_image and same and not np.array_equal(shown, good):
                # A header that is right by its checksum and names other tiles is another file, and no damage.
                wrong += parse(data).tile == parse(file).tile
        longest = max(longest, process_time() - began)
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / peak
print(json.dumps([refused, wrong, grown, longest]))
"""


class Found(NamedTuple):
    """How many files were refused, how many gave another picture, the peak of memory over that of good decodes, and
    the longest that one took [s of CPU].
    """

    refused: int
    wrong: int
    grown: float
    longest: float


def decode_many(name: str, first: int, count: int, folder: Path) -> Found:
    other = FOUR[FOUR.index(name) - 1]
    given = json.dumps([[str(ROOT), str(ROOT / "tests")], name, other, first, count])
    done = subprocess.run(
        [sys.executable, "-c", DECODER, given],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=5 * count,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return Found(*json.loads(done.stdout))


@pytest.mark.parametrize("name", FOUR)
def test_a_clear_error_or_the_picture(name: str, tmp_path: Path) -> None:
    found = decode_many(name, 0, 200, tmp_path)
    assert found.refused >= 140
    assert found.wrong == 0
    assert found.grown <= 1.5


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", FOUR)
def test_two_thousand(name: str, tmp_path: Path) -> None:
    found = decode_many(name, 1000, 2000, tmp_path)
    print(found)
    assert found.refused >= 1400
    assert found.wrong == 0
    assert found.grown <= 1.5
    assert found.longest < 5, "another program on the core makes no difference to this"
