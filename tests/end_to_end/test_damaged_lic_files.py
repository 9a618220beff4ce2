"""Bytes of any kind where a .lic file should be: a clear error within bounds, or the picture; nothing else."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from checkout import ROOT
from file_codecs import FOUR

DECODER = """
import json, resource, sys
from random import Random

paths, name, other, first, count = json.loads(sys.argv[1])
sys.path[:0] = paths
import numpy as np
from file_codecs import codec_of, pixels
from lic_damage import damaged
from lic_exp.files.coding import decode_image, encode_image
from lic_exp.files.layout import FileError
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
for seed in range(first, first + count):
    file, good = files[seed % len(files)], expected[seed % len(files)]
    data = damaged(file, foreign, Random(seed))
    for decode in (decode_image, decode_image_partially):
        try:
            shown = decode(data, codec, form="array")
        except FileError as error:
            refused += decode is decode_image
            assert str(error).isprintable() and len(str(error)) < 1000, (seed, str(error))
        except BaseException as error:
            raise AssertionError(f"seed {seed}") from error
        else:
            same = shown.shape == good.shape and shown.dtype == good.dtype
            wrong += decode is decode_image and same and not np.array_equal(shown, good)
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / peak
print(json.dumps([refused, wrong, grown]))
"""


def decode_many(name: str, first: int, count: int, folder: Path) -> tuple[int, int, float]:
    """How many were refused, how many gave another picture, and the peak of memory over that of a good decode."""
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
    refused, wrong, grown = json.loads(done.stdout)
    return refused, wrong, grown


@pytest.mark.parametrize("name", FOUR)
def test_a_clear_error_or_the_picture(name: str, tmp_path: Path) -> None:
    refused, wrong, grown = decode_many(name, 0, 200, tmp_path)
    assert refused >= 140
    assert wrong == 0
    assert grown <= 1.5


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", FOUR)
def test_two_thousand(name: str, tmp_path: Path) -> None:
    refused, wrong, grown = decode_many(name, 1000, 2000, tmp_path)
    assert refused >= 1400
    assert wrong == 0
    assert grown <= 1.5
