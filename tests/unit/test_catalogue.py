import sys
from pathlib import Path
from typing import Literal

import pytest
from toy import write_package

from lic_exp.catalogue import CatalogueError, describe, source_file
from lic_exp.facts import CodecFacts, CriterionFacts, RegularizerNeeds
from lic_exp.ranges import PositiveFloat, PositiveInt


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
    assert hyperprior.facts == CodecFacts(downsampling_factor=64, latents=1)


def test_an_inherited_constructor_is_found():
    """MSE has no constructor of its own; RateDistortion's has lmbda."""
    mse = describe("lic_exp.training.criterion.MSE")
    assert mse.options == {"lmbda": PositiveFloat}
    assert mse.facts == CriterionFacts(lmbda_max=1.0)


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
    with pytest.raises(CatalogueError) as error:
        describe(target)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def make(*, n): ...", "option 'n' has no type annotation"),
        ("def make(*, n: torch.dtype): ...", "the type 'torch.dtype' of option 'n'"),
        ("def make(*, n: Optional[int]): ...", "X | None"),
        ("class make:\n    facts = CodecFacts(downsampling_factor=FACTOR, latents=1)", "facts must be literals"),
        ("class make:\n    facts = CodecFacts(downsampling=8)", "facts must be literals"),
    ],
)
def test_a_source_that_does_not_say_what_it_must(written, text, message):
    with pytest.raises(CatalogueError) as error:
        describe(f"{written(parts=text)}.parts.make")
    assert message in str(error.value)


def test_an_annotation_cannot_run_code(written):
    name = written(parts="def make(*, n: __import__('os').system('true')): ...")
    with pytest.raises(CatalogueError, match="none of the forms"):
        describe(f"{name}.parts.make")


def test_source_files_of_modules_packages_and_nothing():
    assert source_file("lic_exp.launching.rules").name == "rules.py"
    assert source_file("lic_exp.launching") == Path(source_file("lic_exp.launching.rules")).parent / "__init__.py"
    assert source_file("lic_exp.nosuch") is None
    assert source_file("no_such_package.part") is None
