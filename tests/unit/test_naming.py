"""The unique beginning of a name."""

import pytest

from lic_exp.naming import AmbiguousNameError, UniqueNames, file_name, unique_match


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


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("kodak/vtm_18.0", "kodak_vtm_18.0"),
        ("a b\n\udce9c", "a_b_c"),
        ("..", "other"),
        ("é" * 40, "é" * 20),
        ("../../etc/passwd", "etc_passwd"),
    ],
)
def test_any_text_makes_the_name_of_a_file(text: str, name: str) -> None:
    assert file_name(text, otherwise="other") == name


def test_names_that_a_function_makes_of_others_stay_apart() -> None:
    names = UniqueNames(lambda name: name.replace("/", "_"))
    assert [names.of(name) for name in ("a/b", "a_b", "A_B", "a_b (2)")] == ["a_b", "a_b (2)", "A_B (3)", "a_b (2) (2)"]
    exact = UniqueNames(str, ignoring_case=False)
    assert [exact.of(name) for name in ("a", "A", "a")] == ["a", "A", "a (2)"]
