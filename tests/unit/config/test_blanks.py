"""Blank text is refused of every option whose type would take it, and of every name that Python code gives."""

from typing import Annotated

import pytest
import yaml
from pydantic import TypeAdapter, ValidationError

import analysis
import lic_exp
from lic_exp.component_schema import describe
from lic_exp.config.blanks import blank_values
from lic_exp.config.compose import compose
from lic_exp.config.errors import ConfigError
from lic_exp.config.nodes import ComponentGroup
from lic_exp.config.options import conf_folders, options
from lic_exp.config.overrides import parse
from lic_exp.config.schema import GROUPS, SEVERAL, SeveralComponents
from lic_exp.config.stored import stored_config
from lic_exp.config.validation import validate
from lic_exp.runs.run import find_run
from lic_exp.sweeps.finding import find_config
from lic_exp.sweeps.folder import find_sweep
from lic_exp.sweeps.launcher import find_launcher, launcher_kinds

MAY_BE_BLANK = {"slurm.comment", "slurm.setup"}
"""Options where it means something: a remark, and the lines of a script."""

BLANKS = ("", " \n", [""], ["a", " "])
MARK = "an annotation needs one"


def taken(kind, marks=()):
    """The blank values that an option of this type takes."""
    adapter = TypeAdapter(kind)
    for value in BLANKS:
        try:
            adapter.validate_python(value, strict=True)
            yield value
        except ValidationError:
            continue


def chosen(group):
    """{option of the group: its target}, one option per component; {None: None} for a group without components."""
    if not issubclass(GROUPS[group], ComponentGroup | SeveralComponents):
        return {None: None}
    found = {}
    for name in options(group):
        (conf,) = (folder / group / f"{name}.yaml" for folder in conf_folders([]))
        node = yaml.safe_load(conf.read_text())
        target = node.get(name, node).get("_target_") if isinstance(node.get(name, node), dict) else None
        found.setdefault(target, name)
    return {name: target for target, name in found.items()}


def texts_of(group, several, target):
    """{key: type} of what may be set in a group whose option has this target."""
    own = {} if several else GROUPS[group].model_fields
    kinds = {key: Annotated[field.annotation, MARK, *field.metadata] for key, field in own.items()}
    return {key: kind for key, kind in kinds.items() if key != "dotted_path"} | (
        describe(target).options if target else {}
    )


@pytest.mark.parametrize("group", GROUPS)
def test_every_text_of_a_group_is_refused_where_it_is_blank(group):
    several = group in SEVERAL
    for name, target in chosen(group).items():
        given = ["data.train=[a]", "data.val=[b]"] if name == "folder" else []
        plain = compose(parse([f"{group}={name}", *given] if name else []))
        node = plain[group][name] if several and target else plain[group]
        for key, kind in texts_of(group, several, target).items():
            for value in taken(kind):
                before, node[key] = node[key], value
                with pytest.raises(ConfigError, match=rf"{group}\S*\.{key}(\[\d\])?= is empty"):
                    validate(plain, rules_too=False)
                node[key] = before


@pytest.mark.parametrize("key", ["name", "variant", "parent", "init_from", "tags", "plugins"])
@pytest.mark.parametrize("blank", ["", "\t"])
def test_a_blank_name_of_a_run_is_refused(key, blank):
    plain = compose(parse([]))
    plain[key] = [blank] if key in ("tags", "plugins") else blank
    with pytest.raises(ConfigError, match="is empty, as an unset shell variable leaves it"):
        validate(plain)


@pytest.mark.parametrize("override", ["evaluation.data='caf\udce9'", "data.train=[a,'b\udcff']", "name='\udce9'"])
def test_a_name_that_is_no_utf8_is_refused_before_it_is_trained_with(override):
    """config.yaml could be written with it and not be read."""
    with pytest.raises(ConfigError, match="has bytes that are no UTF-8, which no config can hold: rename it"):
        lic_exp.load_config(["data=folder", "data.train=[a]", "data.val=[b]", override])


def test_what_may_be_blank_of_launchers_is_listed():
    spared = set()
    for kind in launcher_kinds():
        schema = find_launcher(kind).options
        for key, field in schema.model_fields.items():
            for value in taken(field.annotation):
                if not dict(blank_values("", {key: value}, schema)):
                    spared.add(f"{kind}.{key}")
    assert spared == MAY_BE_BLANK


def test_runs_that_were_made_with_blank_texts_can_still_be_read():
    plain = compose(parse(["data=folder", "data.train=[a]", "data.val=[b]"]))
    plain |= {"name": "", "variant": " ", "tags": ["", "kept"], "paths": {"runs": ""}}
    plain["evaluation"]["data"], plain["data"]["val"] = "", [""]

    config = stored_config(plain)

    assert (config.name, config.variant, config.tags, config.paths.runs) == (None, None, ["kept"], ".")
    assert (config.evaluation.data, config.data.options["val"]) == (None, ["."])


@pytest.mark.parametrize("blank", ["", "  "])
@pytest.mark.parametrize(
    "call",
    [
        lambda blank: lic_exp.run([f"evaluation.data='{blank}'"]),
        lambda blank: lic_exp.create_model("factorized_tiny", weights=blank),
        lambda blank: lic_exp.list_models([blank]),
        lic_exp.list_runs,
        lic_exp.list_sweeps,
        find_run,
        lambda blank: find_run("a", blank),
        find_sweep,
        lambda blank: find_config(blank, "runs"),
        analysis.load_runs,
        analysis.load_curve,
        lambda blank: analysis.load_curve(f"kodak/vtm_18.0,{blank}"),
        lambda blank: analysis.load_curve(["kodak/vtm_18.0", blank]),
        analysis.load_sweep,
    ],
)
def test_python_code_cannot_give_a_blank_name(call, blank, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="is empty, as an unset shell variable leaves it"):
        call(blank)
    assert not list(tmp_path.iterdir())
