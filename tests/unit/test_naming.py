"""The unique beginning of a name."""

import pytest

from lic_exp.naming import AmbiguousNameError, unique_match


@pytest.mark.parametrize(
    ("name", "found"), [("ab", "abcd"), ("abcd", "abcd"), ("b", "b"), ("x", None), ("bc", "bcd"), ("abcde", None)]
)
def test_a_name_is_found_by_itself_and_by_its_unique_beginning(name: str, found: str | None) -> None:
    assert unique_match(name, ["abcd", "b", "bcd"]) == found


def test_a_name_that_begins_others_is_itself_and_duplicates_are_one() -> None:
    assert unique_match("a", ["ab", "a", "a"]) == "a"
    assert unique_match("ab", ["ab1", "ab1"]) == "ab1"


@pytest.mark.parametrize(("name", "said"), [("a", "a could be any of ab, ac"), ("", " could be any of ab, ac, d")])
def test_several_are_listed(name: str, said: str) -> None:
    with pytest.raises(AmbiguousNameError, match=f"^{said}$"):
        unique_match(name, ["ab", "ac", "d"])


def test_nothing_is_found_among_nothing() -> None:
    assert unique_match("", []) is None
