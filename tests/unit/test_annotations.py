"""Annotations of options are read as syntax: which forms mean what, and that nothing else means anything."""

import ast
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge, Lt

from lic_exp.annotations import option_type
from lic_exp.option_types import MayBeBlank, Neutral, Part, PositiveInt, Tau, Unsigned

FORMS = {
    "int": int,
    "Any": Any,
    "list": list,
    "PositiveInt": PositiveInt,
    "Part": Part,
    "str | None": str | None,
    "None | str": None | str,
    "int | float | bool": int | float | bool,
    "list[int] | None": list[int] | None,
    "Tau | list[Tau]": Tau | list[Tau],
    "dict[str, list[float | None]]": dict[str, list[float | None]],
    "tuple[int, str]": tuple[int, str],
    "tuple[int, ...]": tuple[int, ...],
    "Literal['a', \"b\"]": Literal["a", "b"],
    "Literal[2, -4, True, None]": Literal[2, -4, True, None],
    "Annotated[int, Ge(0), Lt(9)]": Annotated[int, Ge(0), Lt(9)],
    "Annotated[PositiveInt, Lt(lt=9), Neutral(1)]": Annotated[PositiveInt, Lt(9), Neutral(1)],
    "Annotated[list[str] | None, Unsigned()]": Annotated[list[str] | None, Unsigned()],
    "Annotated[str, MayBeBlank(), Neutral([{'a': (1, None)}])]": Annotated[
        str, MayBeBlank(), Neutral([{"a": (1, None)}])
    ],
}


@pytest.mark.parametrize("text", FORMS)
def test_a_form_means_its_type(text):
    assert option_type(ast.parse(text, mode="eval").body) == FORMS[text]


@pytest.mark.parametrize(
    "text",
    [
        *("torch.dtype", "Optional[int]", "object", "dataclass", "Ge", "nosuch", "print", "Literal", "Annotated"),
        *("'int'", "list['int']", "dict[str, 'int']", "Annotated['int', Unsigned()]", "int | 'str'", "1", "...", "[]"),
        *(
            "list[int, str]",
            "list[None]",
            "dict[str]",
            "dict[list[int], str]",
            "None | None",
            "int + str",
            "int or str",
        ),
        *("Literal[x]", "Literal[1.5]", "Literal[f()]", "Literal[10 ** 9]", "Literal[{1: [2]}]", "Literal[()]"),
        *("Annotated[int]", "Annotated[int, 3]", "Annotated[int, Ge]", "Annotated[int, Ge()]", "Annotated[int, f()]"),
        *("Annotated[str, Ge(1)]", "Annotated[int, Ge('a')]", "Annotated[int, Ge(open)]", "Annotated[int, Ge(*x)]"),
        *("PositiveInt()", "Unsigned()", "list[int]()", "(lambda: int)()", "int if 1 else str", "[int for x in y]"),
        *("(x := int)", "f'{int}'", "await x", "int[3]", "str[int]", "().__class__", "__import__('os')"),
    ],
)
def test_any_other_form_is_refused(text):
    with pytest.raises((ValueError, TypeError)):
        option_type(ast.parse(text, mode="eval").body)


@pytest.mark.parametrize(
    "text", ["Annotated[int, Neutral('x' * 10 ** 12)]", "Annotated[int, Neutral({**{}})]", "Literal[10 ** 9]"]
)
def test_a_refusal_names_the_text_and_no_object_of_python(text):
    with pytest.raises(ValueError, match=r"is no literal$"):
        option_type(ast.parse(text, mode="eval").body)
