"""What only several keys together can get wrong. One function per rule; each yields messages."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from lic_exp.capabilities import CodecFacts
from lic_exp.config.requirements import Components, objections

Rule = Callable[[Mapping[str, Any], Components], Iterator[str]]
_rules: list[tuple[tuple[str, ...], Rule]] = []


def check(config: Mapping[str, Any], components: Components) -> list[str]:
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
def length_is_given_once(config: Mapping[str, Any], components: Components) -> Iterator[str]:
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
def one_beginning(config: Mapping[str, Any], components: Components) -> Iterator[str]:
    beginnings = {
        "model.weights": config["model"]["weights"],
        "init_from": config["init_from"],
        "parent": config["parent"],
    }
    given = [f"{key}={value}" for key, value in beginnings.items() if value is not None]
    if config["init_from"] is not None and len(given) > 1:
        yield f"{' and '.join(given)}: each says where the weights begin; give one"


@reads("model")
def a_place_is_in_a_file(config: Mapping[str, Any], components: Components) -> Iterator[str]:
    # A model of one's own may have no such options.
    key = config["model"].get("weights_key")
    if key is not None and config["model"].get("weights") is None:
        first = config.get("init_from")
        instead = f"; init_from={first} needs none" if first is not None else ""
        yield f"model.weights_key={key}: says where in model.weights the weights lie, and that is null{instead}"


@reads("model", "criterion", "optimizer", "scheduler", "data")
def components_are_chosen(config: Mapping[str, Any], components: Components) -> Iterator[str]:
    for group in ("model", "criterion", "optimizer", "scheduler", "data"):
        component = components.get(group)
        if component is None:
            yield f"{group}._target_ is null: a run needs one"
        elif group == "model" and not isinstance(component.facts, CodecFacts):
            yield f"{component.target} states no `facts = CodecFacts(...)`, so it is no model"


@reads("trainer")
def eval_weights_are_there(config: Mapping[str, Any], components: Components) -> Iterator[str]:
    if config["trainer"]["eval_weights"] == "ema" and config["trainer"]["ema_decay"] is None:
        yield "trainer.eval_weights=ema needs an average to judge: give trainer.ema_decay, e.g. 0.999"


@reads("trainer")
def kept_checkpoints_are_made(config: Mapping[str, Any], components: Components) -> Iterator[str]:
    every, made = config["trainer"]["keep_every_steps"], config["trainer"]["checkpoint_every_steps"]
    if every is not None and every % made:
        yield (
            f"trainer.keep_every_steps={every} must be a multiple of trainer.checkpoint_every_steps={made}: what is "
            "not written cannot be kept"
        )


@reads("parent", "parent_step")
def a_branch_has_a_trunk(config: Mapping[str, Any], components: Components) -> Iterator[str]:
    if config["parent_step"] is not None and config["parent"] is None:
        yield f"parent_step={config['parent_step']}: says where in `parent` to begin, and that is null"


@reads("trainer")
def recorded_steps_need_no_scaler(config: Mapping[str, Any], components: Components) -> Iterator[str]:
    if config["trainer"]["compile"] == "graphs" and config["trainer"]["precision"] == "fp16":
        yield (
            "trainer.compile=graphs records steps that no value is looked at in, and fp16's loss scaler looks at them: "
            "set trainer.precision=bf16, or trainer.compile=full"
        )


@reads("trainer", "data")
def parts_are_equal(config: Mapping[str, Any], components: Components) -> Iterator[str]:
    batch, parts, ranks = config["data"]["batch_size"], config["trainer"]["accumulate"], _ranks(config)
    if batch % ranks:
        yield (
            f"data.batch_size={batch} is the batch of all {ranks} devices together (trainer.devices times "
            "trainer.nodes), and they cannot share it evenly: give a multiple of that"
        )
    elif batch // ranks % parts:
        own = "" if ranks == 1 else f", of which each of {ranks} devices has {batch // ranks}"
        yield (
            f"trainer.accumulate={parts} must divide data.batch_size={batch}{own}, or the parts would weigh differently"
        )


@reads("trainer")
def several_devices_are_of_a_kind(config: Mapping[str, Any], components: Components) -> Iterator[str]:
    trainer = config["trainer"]
    if _ranks(config) == 1:
        return
    if ":" in trainer["device"]:
        yield (
            f"trainer.device={trainer['device']} is one device, and trainer.devices={trainer['devices']} with "
            f"trainer.nodes={trainer['nodes']} needs one for each process: write cuda, cpu or auto"
        )
    if trainer["compile"] == "graphs":
        yield (
            "trainer.compile=graphs: the exchange between several devices is not captured in this version; full and "
            "blocks work, and auto takes full where it would take graphs"
        )


def _ranks(config: Mapping[str, Any]) -> int:
    return int(config["trainer"]["devices"] * config["trainer"]["nodes"])


@reads("model", "evaluation")
def qualities_are_the_codecs(config: Mapping[str, Any], components: Components) -> Iterator[str]:
    codec, qualities = _facts(components, "model"), config["evaluation"]["qualities"]
    if qualities is None or not isinstance(codec, CodecFacts):
        return
    shown = f"evaluation.qualities={qualities}"
    if not codec.variable_rate:
        yield f"{shown}: this model has one rate; set evaluation.qualities=null"
    elif not qualities:
        yield f"{shown}: give at least one, or null for the criterion's validation rates"
    elif len({f"{quality:g}" for quality in qualities}) < len(qualities):  # as names of metrics and pictures have them
        yield f"{shown}: a quality stands there twice"


@reads("model", "evaluation")
def there_are_scales_to_diagnose(config: Mapping[str, Any], components: Components) -> Iterator[str]:
    codec, images = _facts(components, "model"), config["evaluation"]["diagnosis"]
    if images and isinstance(codec, CodecFacts) and codec.latents < 2:
        yield (
            f"evaluation.diagnosis={images}: this model has one latent, so there are no scales to tell apart; DHIC and "
            "HPCM have several. Set evaluation.diagnosis=0"
        )


@reads()
def components_demands_are_met(config: Mapping[str, Any], components: Components) -> Iterator[str]:
    trainer = config.get("trainer", {})
    if trainer.get("compile") == "auto":
        config = {**config, "trainer": {**trainer, "compile": False}}  # it takes no way that they object to
    yield from objections(config, components)
