"""What the chosen components demand of the config, by their facts and by what they declare."""

from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any

from lic_exp.capabilities import CodecFacts, CriterionFacts, RegularizerNeeds
from lic_exp.component_schema import ComponentError, ComponentSchema
from lic_exp.component_schema import objections as component_objections
from lic_exp.conditions import View
from lic_exp.requirements import Forbids, ShownSides
from lic_exp.shown_sides import shown_side

Components = Mapping[str, ComponentSchema | None]


def objections(config: Mapping[str, Any], components: Components) -> Iterator[str]:
    """Messages of all components whose groups are in `config`."""
    codec = components.get("model")
    codec_facts = codec.facts if "model" in config and codec and isinstance(codec.facts, CodecFacts) else None
    for path, component in components.items():
        node = _node(config, path)
        if component is None or node is None:
            continue
        view = View(node, path, config, codec_facts, alone=path.rpartition(".")[0] not in components)
        try:
            yield from component_objections(component, view)
        except ComponentError as error:
            yield f"{path}._target_: {error}"
        if codec_facts is not None:
            yield from _disagreements(component, codec_facts, view)
        yield from _crops(component.facts, config)
        yield from _shown_sides(component, view, components.get("criterion"))
        yield from _precision(component.facts, config)


def _node(config: Mapping[str, Any], path: str) -> Mapping[str, Any] | None:
    node: Any = config
    for key in path.split("."):
        node = node.get(key) if isinstance(node, Mapping) else None
    return node if isinstance(node, Mapping) else None


def _disagreements(component: ComponentSchema, codec: CodecFacts, view: View) -> Iterator[str]:
    """Where the chosen model is not what a regularizer or a criterion works with."""
    facts = component.facts
    if isinstance(facts, RegularizerNeeds) and codec.latents < facts.latents:
        yield (
            f"this regularizer compares scales and needs at least {facts.latents} latents; "
            f"this model has {codec.latents}. Choose a hierarchical model, or spectral_reg=intra"
        )
    if isinstance(facts, CriterionFacts) and codec.variable_rate != facts.variable_rate:
        own_words = (s for s in component.statements if isinstance(s, Forbids) and "variable_rate" in s.codec)
        if not any(statement.holds(view) for statement in own_words):
            yield (
                "this model serves a range of rates, and this criterion has one: choose criterion=variable_rate"
                if codec.variable_rate
                else "this criterion has a range of rates, and this model serves one: choose a variable-rate model"
            )


def _crops(facts: Any, config: Mapping[str, Any]) -> Iterator[str]:
    """Sizes of crops that a model or a criterion cannot take."""
    data = config.get("data")
    if data is None:
        return
    if isinstance(facts, CodecFacts) and data["crop_size"] % facts.downsampling_factor:
        crop, factor = data["crop_size"], facts.downsampling_factor
        below = crop // factor * factor
        near = f"{below} or {below + factor}" if below else f"{factor}"
        yield f"data.crop_size={crop}: this model works on multiples of {factor} pixels, e.g. {near}"
    if isinstance(facts, CriterionFacts):
        for key in ("crop_size", "val_crop_size"):
            if data[key] is not None and data[key] < facts.min_crop_size:
                yield f"data.{key}={data[key]}: this criterion needs at least {facts.min_crop_size} pixels"


def _shown_sides(component: ComponentSchema, view: View, criterion: ComponentSchema | None) -> Iterator[str]:
    """Where what is shown of a crop is no smaller, or too small for the criterion."""
    crop, factor = view.beside("data.crop_size"), view.fact("downsampling_factor")
    for statement in component.statements:
        share = statement.smallest(view) if isinstance(statement, ShownSides) else None
        if share is None or not isinstance(crop, int) or not isinstance(factor, int):
            continue
        smallest, least = shown_side(share, crop, factor), getattr(criterion and criterion.facts, "min_crop_size", 1)
        if share < 1 and smallest == crop:
            larger = next(side for side in count(2 * factor, factor) if shown_side(share, side, factor) < side)
            yield view.led(
                f"{share:g} of the sides of data.crop_size={crop} is all of them: this model works on multiples of "
                f"{factor} pixels: take a larger crop, e.g. data.crop_size={larger}"
            )
        elif smallest < least:
            yield view.led(
                f"of data.crop_size={crop} it shows {smallest} pixels, and this criterion needs at least {least}"
            )


def _precision(facts: Any, config: Mapping[str, Any]) -> Iterator[str]:
    """A precision in which a model does not train."""
    precision = config["trainer"]["precision"] if "trainer" in config else "float32"
    if isinstance(facts, CodecFacts) and precision not in (allowed := ("float32", *facts.autocast)):
        yield f"trainer.precision={precision}: this model trains in {' or '.join(allowed)}"
