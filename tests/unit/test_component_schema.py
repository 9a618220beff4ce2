import string
import sys
from pathlib import Path
from typing import Literal

import pytest
import yaml
from toy import write_package

from lic_exp.capabilities import CodecFacts, CriterionFacts, RegularizerNeeds
from lic_exp.component_schema import ComponentError, describe
from lic_exp.conditions import Not
from lic_exp.config.options import groups
from lic_exp.option_types import PositiveFloat, PositiveInt
from lic_exp.places import conf_folder
from lic_exp.requirements import Forbids, Unused
from lic_exp.source_text import source_file


@pytest.fixture
def written(tmp_path, monkeypatch, request):
    """Writes a package of one module `parts` with this text; returns the package's name. Every test has its own."""
    name = f"catalogue_{abs(hash(request.node.name))}"
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(**modules: str) -> str:
        write_package(tmp_path, name, {"__init__.py": "", **{f"{part}.py": text for part, text in modules.items()}})
        return name

    return write


def test_options_are_the_keyword_only_parameters_with_their_types():
    adam = describe("lic_exp.optimizers.factories.adam")
    assert adam.options["lr"] == PositiveFloat
    assert list(adam.options) == ["lr", "betas", "eps", "weight_decay"]


def test_options_and_facts_of_a_class():
    hyperprior = describe("lic_exp.models.compressai_zoo.Hyperprior")
    assert hyperprior.options == {"N": PositiveInt, "M": PositiveInt}
    assert hyperprior.facts == CodecFacts(downsampling_factor=64, latents=1, dtypes=("float32", "float64"))


def test_an_inherited_constructor_is_found():
    """MSE has no constructor of its own; RateDistortion's has lmbda."""
    mse = describe("lic_exp.training.criterion.MSE")
    assert mse.options == {"lmbda": PositiveFloat}
    assert mse.facts == CriterionFacts()


def test_needs_are_inherited_from_the_contract():
    assert describe("lic_exp.spectral_reg.intra_scale.IntraScale").facts == RegularizerNeeds(latents=0)


def test_a_function_has_options_and_no_facts(written):
    name = written(parts="def make(given, *, size: int, mode: Literal['a', 'b'], path: str | None): ...")
    component = describe(f"{name}.parts.make")
    assert component.options == {"size": int, "mode": Literal["a", "b"], "path": str | None}
    assert component.facts is None


def test_a_base_class_is_followed_through_relative_and_absolute_imports(written):
    facts = "facts = CodecFacts(downsampling_factor=8, latents=3)"
    name = written(
        base=f"class Base:\n    {facts}\n    def __init__(self, *, n: int): ...",
        relative="from .base import Base\nclass Near(Base): ...",
    )
    absolute = f"from {name}.relative import Near as Other\nclass Far(Other): ..."
    written(absolute=absolute)
    for target in ("relative.Near", "absolute.Far"):
        component = describe(f"{name}.{target}")
        assert component.options == {"n": int}
        assert component.facts == CodecFacts(downsampling_factor=8, latents=3)


def test_describing_imports_nothing(written):
    name = written(parts="raise RuntimeError('imported')\nclass A:\n    def __init__(self, *, n: int): ...")
    assert describe(f"{name}.parts.A").options == {"n": int}
    assert name not in sys.modules


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("lic_exp.models.nosuch.Hyperprior", "no module 'lic_exp.models.nosuch'"),
        ("no_such_package.Thing", "no module 'no_such_package'"),
        ("Thing", "no module ''"),
        ("lic_exp.progress.Nosuch", "defines no Nosuch (it defines: Progress)"),
    ],
)
def test_a_target_that_is_not_there(target, message):
    with pytest.raises(ComponentError) as error:
        describe(target)
    assert message in str(error.value)


FACTS = "facts = CodecFacts(downsampling_factor=8, latents=1, "


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def make(*, n): ...", "option 'n' has no type annotation"),
        ("def make(*, n: torch.dtype): ...", "the type 'torch.dtype' of option 'n'"),
        ("def make(*, n: Optional[int]): ...", "X | None"),
        ("class make:\n    facts = CodecFacts(downsampling_factor=FACTOR, latents=1)", "facts must be literals"),
        ("class make:\n    facts = CodecFacts(downsampling=8)", "facts must be literals"),
        (f"class make:\n    {FACTS}dtypes='float32')", "dtypes='float32' should be of the type tuple[str, ...]"),
        (f"class make:\n    {FACTS}dtypes=(32,))", "dtypes=(32,) should be of the type tuple[str, ...]"),
        (f"class make:\n    {FACTS}autocast=['bf16'])", "autocast=['bf16'] should be of the type tuple[str, ...]"),
    ],
)
def test_a_source_that_does_not_say_what_it_must(written, text, message):
    with pytest.raises(ComponentError) as error:
        describe(f"{written(parts=text)}.parts.make")
    assert message in str(error.value)


DECLARING = """
from lic_exp.conditions import Not
from lic_exp.option_types import Part
from lic_exp.requirements import Forbids, NoWeights, Unused, declares

MODES = ("a", "b")


@declares(
    Forbids({"mode": Not(MODES)}, "mode={mode}"),
    Unused("size", {"mode": "a"}),
    NoWeights({"mode": "b"}),
)
class Base:
    def __init__(self, *, size: int, mode: str): ...


class Derived(Base):
    pass


@declares(Forbids({"part.size": 0}, "part.size=0"), NoWeights())
class Whole:
    def __init__(self, *, part: Part): ...


@declares(Forbids({"size": 3}, "size=3"))
def make(*, size: int): ...
"""


def test_statements_are_read_with_the_constants_they_name(written):
    name = written(parts=DECLARING)
    forbids, unused, _ = describe(f"{name}.parts.Base").statements
    assert forbids == Forbids({"mode": Not(("a", "b"))}, "mode={mode}")
    assert unused == Unused("size", {"mode": "a"})
    assert describe(f"{name}.parts.make").statements == (Forbids({"size": 3}, "size=3"),)
    assert name not in sys.modules


def test_a_subclass_keeps_what_is_forbidden_but_may_use_options_and_have_weights_of_its_own(written):
    derived = describe(f"{written(parts=DECLARING)}.parts.Derived")
    assert derived.statements == (Forbids({"mode": Not(("a", "b"))}, "mode={mode}"),)
    assert derived.unused({"size": 1, "mode": "a"}) == frozenset()
    assert derived.learnable({"size": 1, "mode": "b"})


def test_what_is_unused_and_what_learns(written):
    name = written(parts=DECLARING)
    base, whole = (describe(f"{name}.parts.{kind}") for kind in ("Base", "Whole"))
    assert base.unused({"size": 1, "mode": "a"}) == {"size"}
    assert base.unused({"size": 1, "mode": "b"}) == frozenset()
    for mode, learns in (("a", True), ("b", False)):
        node = {"_target_": f"{name}.parts.Base", "size": 1, "mode": mode}
        assert base.learnable(node) == learns
        assert whole.learnable({"part": node}) == learns


@pytest.mark.parametrize(
    ("decorator", "message"),
    [
        ("@declares(Forbids({'n': LIMIT}, 'no'))", "what a component declares must be literals"),
        ("@declares(Forbids({'n': 1}, f'no {1}'))", "what a component declares must be literals"),
        ("@declares(Forbids({'n': 1}))", "what a component declares must be literals"),
        ("@declares(Not(1))", "declares Not(1), which is no statement"),
        ("@declares(Forbids({'m': 1}, 'no'))", "declares something of m, but has no such option"),
        ("@declares(Unused('n', {'m': 1}))", "declares something of m, but has no such option"),
        ("@signed_as(NAME)", "the name for signatures must be one literal string: @signed_as(NAME)"),
        ("@signed_as()", "the name for signatures must be one literal string"),
        ("@signed_as('a', 'b')", "the name for signatures must be one literal string"),
    ],
)
def test_declarations_that_cannot_be_read(written, decorator, message):
    name = written(parts=f"{decorator}\ndef make(*, n: int): ...")
    with pytest.raises(ComponentError) as error:
        describe(f"{name}.parts.make")
    assert message in str(error.value)


def test_two_components_of_a_package_have_two_names(written):
    """Signatures have no module in them, so that files may move."""
    name = written(one="class Codec: ...", two="class Codec: ...", three="@signed_as('Codec')\nclass Other: ...")
    for target in ("one.Codec", "two.Codec", "three.Other"):
        with pytest.raises(ComponentError, match=r"signatures would call .* 'Codec' too: give one of the two a name"):
            describe(f"{name}.{target}")


def test_signed_as_tells_them_apart(written):
    name = written(
        one="class Codec: ...",
        two="from lic_exp import capabilities\n@capabilities.signed_as('second')\nclass Codec: ...",
        user="from .one import Codec\nmake = Codec",
        broken="class Codec(:",
    )
    assert describe(f"{name}.one.Codec").code_name == f"{name}:Codec"
    assert describe(f"{name}.two.Codec").code_name == f"{name}:second"


SAME_TRAININGS = {"lic_exp.data.sources.BundledThreeWay": "lic_exp.data.sources.Bundled"}
"""What is trained is the same, and so is its name."""


def test_no_two_of_ours_have_one_name():
    """Within a group; what is no option of one is the part of another."""
    assert all(describe(one).code_name == describe(other).code_name for one, other in SAME_TRAININGS.items())
    for group in groups():
        nodes = [yaml.safe_load(path.read_text()) for path in (conf_folder() / group).glob("*.yaml")]
        targets = {node["_target_"] for node in nodes if node and node.get("_target_")}
        names = [describe(target).code_name for target in targets - SAME_TRAININGS.keys()]
        assert len(names) == len(set(names)), sorted(names)


SHIPPED = sorted(
    {
        node["_target_"]
        for path in conf_folder().glob("*/*.yaml")
        if (node := yaml.safe_load(path.read_text())) and node.get("_target_")
    }
)


@pytest.mark.parametrize("target", SHIPPED)
def test_texts_of_ours_name_options_that_are_there(target):
    component = describe(target)
    platform = {"here", "key", "value", "trainer"}
    for text in (statement.says for statement in component.statements if hasattr(statement, "says")):
        fields = {field.partition("/")[0] for _, field, *_ in string.Formatter().parse(text) if field}
        assert {field.split(".")[0] for field in fields} <= {*component.options, *platform}, text


def test_an_annotation_cannot_run_code(written):
    name = written(parts="def make(*, n: __import__('os').system('true')): ...")
    with pytest.raises(ComponentError, match="none of the forms"):
        describe(f"{name}.parts.make")


def test_source_files_of_modules_packages_and_nothing():
    assert source_file("lic_exp.config.rules").name == "rules.py"
    assert source_file("lic_exp.config") == Path(source_file("lic_exp.config.rules")).parent / "__init__.py"
    assert source_file("lic_exp.nosuch") is None
    assert source_file("no_such_package.part") is None
