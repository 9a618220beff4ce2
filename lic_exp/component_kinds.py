"""What a component of each group must be, told from its source text alone.

A `_target_` may name anything in the packages that may be instantiated. What it names would be called, so it is judged
before: by its facts, by the methods that its source shows, and by what its constructor wants to be given.
"""

from collections.abc import Iterator
from typing import NamedTuple

from lic_exp.capabilities import CodecFacts, CriterionFacts, RegularizerNeeds, TrackerNeeds
from lic_exp.component_schema import ComponentError, ComponentSchema
from lic_exp.source_text import OURS


class GroupKind(NamedTuple):
    """What a group's components are.

    supplied: how many arguments the platform gives by position. like: for messages, what to look at. facts: the class
    of what such a component states of itself. always: whether it must, also where not all of its source can be read.
    methods, options: what it has by these names.
    """

    name: str
    supplied: int
    like: str
    facts: type | None = None
    always: bool = False
    methods: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


_SPECTRAL = "SpectralRegularizer of lic_exp/spectral_reg/base.py"
_CRITERION = "RateDistortion of lic_exp/training/criterion.py"
_TRACKER = "Tracker of lic_exp/tracking/base.py"

KINDS = {
    "model": GroupKind("model", 0, "Codec of lic_exp/models/base.py", CodecFacts, always=True),
    "spectral_reg": GroupKind("regularizer", 0, _SPECTRAL, RegularizerNeeds, methods=("penalty", "transform_batch")),
    "criterion": GroupKind("criterion", 0, _CRITERION, CriterionFacts),
    "optimizer": GroupKind("optimizer", 1, "the factories of lic_exp/optimizers/factories.py", options=("lr",)),
    "scheduler": GroupKind("schedule", 1, "Schedule of lic_exp/optimizers/schedules.py", methods=("before_step",)),
    "data": GroupKind("data set", 0, "ImageSource of lic_exp/data/sources.py", methods=("train", "val", "fingerprint")),
    "tracker": GroupKind("tracker", 2, _TRACKER, TrackerNeeds, methods=("start", "poke", "finish")),
}


def check_kind(path: str, component: ComponentSchema, owner: ComponentSchema | None = None) -> None:
    """Raise ComponentError where what stands at `path` of a config is no component of its group.

    owner: the component that it is a part of. What a part must be only its owner knows, but it is given nothing by
    position, and of one of ours it is of the group's kind.
    """
    kind = KINDS.get(path.partition(".")[0])
    why = next(_objections(component, kind, owner), None) if kind else None
    if kind and why:
        raise ComponentError(f"{component.target} is no {kind.name}: {why}; see {kind.like}")


def _objections(component: ComponentSchema, kind: GroupKind, owner: ComponentSchema | None) -> Iterator[str]:
    made = component.made
    judged = owner is None or _is_ours(owner)  # else its owner alone knows what it is
    # A base of another package may have what its own source does not show; of ours all is to be seen.
    seen = judged and (made.whole or _is_ours(component))
    if made.facts is not None and not (kind.facts and isinstance(made.facts, kind.facts)):
        yield f"it states {type(made.facts).__name__}(...)"
    if judged:
        yield from (f"it has no option {name}" for name in kind.options if name not in component.options)
        if not made.said and (kind.facts or kind.methods):
            yield "it is a function, and does not say what it returns"
    if kind.facts and made.facts is None and ((seen and not kind.methods) or (judged and kind.always)):
        yield f"it states no {kind.facts.__name__}(...)"
    if seen:
        yield from (f"it has no method {name}" for name in kind.methods if name not in made.methods)
    supplied, (least, most) = 0 if owner else kind.supplied, made.positional
    if not least <= supplied <= most:
        wants = f"at least {least}" if least > supplied else f"at most {most}"
        yield f"it wants {wants} arguments by position, and gets {supplied}"


def _is_ours(component: ComponentSchema) -> bool:
    return component.target.startswith(f"{OURS}.")
