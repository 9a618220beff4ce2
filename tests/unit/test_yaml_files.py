"""YAML within bounds: what would hold its reader, or take its stack, is refused before it is built."""

from itertools import pairwise

import pytest
import yaml

from lic_exp.records import RecordError
from lic_exp.yaml_files import MOST_BYTES, parse_yaml, read_yaml

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def lists_of_lists(levels):
    """9^levels words, in `levels` lines."""
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    pairs = pairwise(LETTERS[:levels])
    lines += [f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]" for old, new in pairs]
    return "\n".join(lines)


def mappings_merged(levels):
    """2^levels keys, each pair merged into the next."""
    lines = ["b0: &b0 {k: 1}"]
    return "\n".join([*lines, *(f"b{n}: &b{n} {{<<: [*b{n - 1}, *b{n - 1}]}}" for n in range(1, levels))])


BOMBS = {
    "lists": lists_of_lists(20),
    "merged mappings": mappings_merged(40),
    "itself": "a: &a [*a]",
    "itself as a key's value": "a: &a {b: *a}",
    "deep brackets": "[" * 100_000,
    "deep braces": "{a: " * 100_000,
    "deep dashes": "- " * 100_000 + "a",
    "deep question marks": "? " * 100_000,
    "deep indents": "".join(" " * n + f"a{n}:\n" for n in range(500)),
    "long number": "a: " + "9" * 5000,
    "longish number": "a: " + "9" * 400,
    "number to the base of 60": "a: " + "1:" * 20_000 + "1",
    "long text": "a: " + "x" * 10**6,
    "many": "a: [" + "a," * 500_000 + "]",
}
DAMAGED = (
    "a: [",
    "a: b: c",
    "\0",
    "a: *b",
    "a: !!python/name:os.system",
    "a: !!bool x",
    "a: !!int ''",
    "a: 2001-99-99",
)


@pytest.mark.parametrize("text", BOMBS.values(), ids=list(BOMBS))
def test_a_bomb_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        parse_yaml(text)


@pytest.mark.parametrize("text", [*DAMAGED, "? [a]\n: 1", "--- 1\n--- 2", 'a: "\\ud800"'])
def test_damage_is_one_kind_of_error(tmp_path, text):
    with pytest.raises(ValueError, match=r"."):
        parse_yaml(text)
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(RecordError, match=r"config\.yaml cannot be read: ."):
        read_yaml(tmp_path / "config.yaml")


def test_a_large_file_is_not_read(tmp_path):
    (tmp_path / "config.yaml").write_text("# long\n" * (MOST_BYTES // 7 + 1))
    with pytest.raises(RecordError, match="bytes"):
        read_yaml(tmp_path / "config.yaml")
    (tmp_path / "config.yaml").write_bytes(b"a: \xff")
    with pytest.raises(RecordError, match="utf-8"):
        read_yaml(tmp_path / "config.yaml")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a: 1\nb: [1, 2.5, null, true, 'x']\n",
        "a: &a [1, 2]\nb: *a\nc: {<<: {d: 1}, e: 2}\n",
        "a: &a {x: 1}\nb: {<<: *a, y: 2}\n",
        lists_of_lists(4),
        "1: one\n2001-01-01: 2001-01-02\n",
        yaml.safe_dump({"stages": [{"trainer": {"max_steps": n}} for n in range(2000)]}),
    ],
    ids=range(7),
)
def test_within_bounds_it_is_what_yaml_reads(text):
    assert parse_yaml(text) == yaml.safe_load(text)
