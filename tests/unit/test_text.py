"""How sizes and time spans are written."""

import pytest

from lic_exp.text import age_text, size_text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_960, "1.0 MB"), (5.4e6, "5.4 MB"), (2e12, "2.0 TB")],
)
def test_sizes(count, text):
    assert size_text(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(-1, "0 s"), (59.4, "59 s"), (60, "1 min"), (7199, "1 h"), (90000, "1 d")]
)
def test_ages(seconds, text):
    assert age_text(seconds) == text
