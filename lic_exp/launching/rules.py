"""What only several keys together can get wrong. One function per rule; each yields messages."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from lic_exp.catalogue import Component
from lic_exp.evaluation.rates import MSE_UNIT
from lic_exp.facts import CodecFacts, CriterionFacts, RegularizerNeeds
from lic_exp.spectral_reg.choices import conflicts
from lic_exp.spectral_reg.schedules import Onset, Stage, second_start

Config = Mapping[str, Any]
Components = Mapping[str, Component | None]

CONVENTION_MSE = "one lmbda is stored here, CompressAI's: the weight of 255^2 MSE"


Rule = Callable[[Config, Components], Iterator[str]]
_rules: list[tuple[tuple[str, ...], Rule]] = []


def check(config: Config, components: Components) -> list[str]:
    """Messages of every rule whose groups are in `config`, where keys, types and ranges are right already."""
    return [message for groups, rule in _rules if set(groups) <= set(config) for message in rule(config, components)]


def reads(*groups: str) -> Callable[[Rule], Rule]:
    """Registers a rule and says which groups it looks at."""

    def register(rule: Rule) -> Rule:
        _rules.append((groups, rule))
        return rule

    return register


def _facts(components: Components, group: str) -> Any:
    component = components.get(group)
    return component.facts if component else None


@reads("trainer", "stages")
def length_is_given_once(config: Config, components: Components) -> Iterator[str]:
    steps, epochs = config["trainer"]["max_steps"], config["trainer"]["max_epochs"]
    if config["stages"]:
        if steps is not None or epochs is not None:
            yield "stages say how long the run is: set trainer.max_steps=null trainer.max_epochs=null"
        return
    if steps is None and epochs is None:
        yield "trainer.max_steps and trainer.max_epochs are both null: give one, or the run would never end"
    if steps is not None and epochs is not None:
        yield (
            f"trainer.max_steps={steps} and trainer.max_epochs={epochs} both say how long the run is: "
            "set the one you do not mean to null"
        )


@reads("model", "init_from", "parent")
def one_beginning(config: Config, components: Components) -> Iterator[str]:
    beginnings = {
        "model.weights": config["model"]["weights"],
        "init_from": config["init_from"],
        "parent": config["parent"],
    }
    given = [f"{key}={value}" for key, value in beginnings.items() if value is not None]
    if config["init_from"] is not None and len(given) > 1:
        yield f"{' and '.join(given)}: each says where the weights begin; give one"


@reads("model", "criterion", "optimizer", "scheduler", "data")
def components_are_chosen(config: Config, components: Components) -> Iterator[str]:
    for group in ("model", "criterion", "optimizer", "scheduler", "data"):
        component = components.get(group)
        if component is None:
            yield f"{group}._target_ is null: a run needs one"
        elif group == "model" and not isinstance(component.facts, CodecFacts):
            yield f"{component.target} states no `facts = CodecFacts(...)`, so it is no model"


@reads("data", "model")
def crop_suits_codec(config: Config, components: Components) -> Iterator[str]:
    codec = _facts(components, "model")
    crop = config["data"]["crop_size"]
    if isinstance(codec, CodecFacts) and crop % codec.downsampling_factor:
        factor = codec.downsampling_factor
        below = crop // factor * factor
        near = f"{below} or {below + factor}" if below else f"{factor}"
        yield f"data.crop_size={crop}: this model works on multiples of {factor} pixels, e.g. {near}"


@reads("data", "criterion")
def crop_suits_criterion(config: Config, components: Components) -> Iterator[str]:
    criterion = _facts(components, "criterion")
    if not isinstance(criterion, CriterionFacts):
        return
    for key in ("crop_size", "val_crop_size"):
        size = config["data"][key]
        if size is not None and size < criterion.min_crop_size:
            yield f"data.{key}={size}: this criterion needs at least {criterion.min_crop_size} pixels"


@reads("criterion")
def lmbda_is_in_its_unit(config: Config, components: Components) -> Iterator[str]:
    criterion = _facts(components, "criterion")
    if not isinstance(criterion, CriterionFacts):
        return
    for key in ("lmbda", "lmbda_min", "lmbda_max"):
        lmbda = config["criterion"].get(key)
        if lmbda is not None and lmbda >= criterion.lmbda_max:
            yield (
                f"criterion.{key}={lmbda:g} looks like a weight of MSE on [0, 1] ({CONVENTION_MSE}); "
                f"write criterion.{key}={lmbda / MSE_UNIT:.6g}, which is {lmbda:g} / 255^2"
            )
        if lmbda is not None and lmbda < criterion.lmbda_min:
            yield (
                f"criterion.{key}={lmbda:g} looks like a weight of 255^2 MSE; this criterion weighs 1 - MS-SSIM, and "
                "there is no conversion. CompressAI's eight rates use 2.4, 4.58, 8.73, 16.64, 31.73, 60.5, 115.37, 220"
            )


@reads("criterion")
def lmbdas_are_a_range(config: Config, components: Components) -> Iterator[str]:
    low, high = (config["criterion"].get(key) for key in ("lmbda_min", "lmbda_max"))
    if low is not None and high is not None and low >= high:
        yield f"criterion.lmbda_min={low:g} must be less than criterion.lmbda_max={high:g}"


@reads("trainer")
def judged_weights_are_there(config: Config, components: Components) -> Iterator[str]:
    if config["trainer"]["judged_weights"] == "ema" and config["trainer"]["ema_decay"] is None:
        yield "trainer.judged_weights=ema needs an average to judge: give trainer.ema_decay, e.g. 0.999"


@reads("trainer", "data")
def parts_are_equal(config: Config, components: Components) -> Iterator[str]:
    batch, parts = config["data"]["batch_size"], config["trainer"]["accumulate"]
    if batch % parts:
        yield f"trainer.accumulate={parts} must divide data.batch_size={batch}, or the parts would weigh differently"


@reads("model", "criterion")
def rates_agree(config: Config, components: Components) -> Iterator[str]:
    codec, criterion = _facts(components, "model"), _facts(components, "criterion")
    if not (isinstance(codec, CodecFacts) and isinstance(criterion, CriterionFacts)):
        return
    if codec.variable_rate and not criterion.variable_rate:
        lmbda = config["criterion"].get("lmbda")
        yield (
            f"this model serves a range of rates{'' if lmbda is None else f', not criterion.lmbda={lmbda:g} alone'}: "
            "choose criterion=variable_rate, and its range by criterion.lmbda_min and criterion.lmbda_max"
        )
    if criterion.variable_rate and not codec.variable_rate:
        yield (
            "this criterion draws a rate per image, which this model cannot be told: choose a variable-rate model, "
            "or criterion=mse with the one criterion.lmbda"
        )


@reads("model", "evaluation")
def qualities_are_the_codecs(config: Config, components: Components) -> Iterator[str]:
    codec, qualities = _facts(components, "model"), config["evaluation"]["qualities"]
    if qualities is None or not isinstance(codec, CodecFacts):
        return
    shown = f"evaluation.qualities={qualities}"
    if not codec.variable_rate:
        yield f"{shown}: this model has one rate; set evaluation.qualities=null"
    elif not qualities:
        yield f"{shown}: give at least one, or null for the criterion's validation rates"
    elif len(set(qualities)) < len(qualities):
        yield f"{shown}: a quality stands there twice"


@reads("model", "spectral_reg")
def regularizer_suits_codec(config: Config, components: Components) -> Iterator[str]:
    codec, needs = _facts(components, "model"), _facts(components, "spectral_reg")
    if isinstance(codec, CodecFacts) and isinstance(needs, RegularizerNeeds) and codec.latents < needs.latents:
        yield (
            f"this regularizer compares scales and needs at least {needs.latents} latents; "
            f"this model has {codec.latents}. Choose a hierarchical model, or spectral_reg=intra"
        )


@reads("spectral_reg")
def stages_are_windows(config: Config, components: Components) -> Iterator[str]:
    """Every stage in itself, and one after the other where there are two."""
    stages: dict[str, Any] = {}
    for path, node in _with_parts("spectral_reg", config["spectral_reg"]):
        try:
            if {"truncation_start", "truncation_length", "truncation_unit"} <= set(node):
                stages[path] = Stage(node["truncation_start"], node["truncation_length"], node["truncation_unit"])
            if {"start", "ramp", "unit"} <= set(node):
                Onset(node["start"] or 0, node["ramp"], node["unit"])
        except ValueError as error:
            yield f"{path}: {error}"
    node = config["spectral_reg"]
    if "overlap" in node and "spectral_reg.intra" in stages and {"start", "unit"} <= set(node["inter"]):
        try:
            second_start(
                stages["spectral_reg.intra"], node["overlap"], start=node["inter"]["start"], unit=node["inter"]["unit"]
            )
        except ValueError as error:
            yield f"spectral_reg: {error}"
    elif node.get("start", 0) is None:
        yield "spectral_reg.start=null: give the epoch, step or share from which on the term is part of the loss"


@reads("spectral_reg")
def inter_scale_options_agree(config: Config, components: Components) -> Iterator[str]:
    for path, node in _with_parts("spectral_reg", config["spectral_reg"]):
        if {"metric", "bound", "bound_at", "conv", "conv_bias", "detach", "sign", "gradient_cap"} <= set(node):
            yield from (f"{path}: {message}" for message in conflicts(node))


@reads("trainer", "spectral_reg")
def gradients_at_latents_can_be_seen(config: Config, components: Components) -> Iterator[str]:
    for path, node in _with_parts("spectral_reg", config["spectral_reg"]):
        if config["trainer"]["compile"] and node.get("gradient_every_steps") is not None:
            yield (
                f"{path}.gradient_every_steps={node['gradient_every_steps']}: a compiled codec hides the gradient at "
                f"its latents; set {path}.gradient_every_steps=null, or trainer.compile=false"
            )


def _with_parts(path: str, node: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """A component's node and those of its parts, with their paths."""
    yield path, node
    for key, value in node.items():
        if isinstance(value, Mapping) and "_target_" in value:
            yield f"{path}.{key}", value
