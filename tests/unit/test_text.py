"""How sizes and time spans are written."""

import io

import pytest

from lic_exp.text import age_text, never_unencodable, size_text, visible


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


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 漢.png", "plain é 漢.png"),
        ("caf\udce9", "caf\\xe9"),
        ("two\nlines\x1b[31m", "two\\nlines\\x1b[31m"),
        ("\ud800", "\\ud800"),
    ],
)
def test_a_name_is_made_visible(text, shown):
    assert visible(text) == shown
    assert visible(text).encode().decode() == shown


def test_a_stream_shows_what_its_encoding_lacks():
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    never_unencodable(stream, io.StringIO())
    stream.write("é\udce9")
    stream.flush()
    assert stream.buffer.getvalue() == b"\\xe9\\udce9"
