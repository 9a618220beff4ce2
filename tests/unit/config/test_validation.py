import copy
import pickle

import pytest
import toy
from pydantic import ValidationError

import lic_exp
from lic_exp.config.compose import compose
from lic_exp.config.errors import ConfigError, nearest
from lic_exp.config.overrides import parse
from lic_exp.config.stored import stored_config
from lic_exp.config.validation import validate


def checked(*overrides):
    """Of a model of one rate, unless another is named."""
    return validate(compose(parse(["model=mean_scale_hyperprior_tiny", *overrides])))


def messages(*overrides):
    with pytest.raises(ConfigError) as error:
        checked(*overrides)
    return error.value.messages


OPTIMIZER_KEYS = "Valid keys of optimizer: aux_lr, lr_factors, reg_lr, lr, betas, eps, weight_decay"
ROOT_KEYS = "Valid keys: schema_version, seed, parent, parent_step, init_from, stages, name, variant, tags, plugins, "


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ("optimizer.lrr=1", [f"optimizer.lrr: there is no such key. Did you mean optimizer.lr? {OPTIMIZER_KEYS}"]),
        ("+typo=1", ["typo: there is no such key. " + ROOT_KEYS]),
        ("++optimizer.lrr=1", [f"optimizer.lrr: there is no such key. Did you mean optimizer.lr? {OPTIMIZER_KEYS}"]),
        ("spectral_reg=intra spectral_reg.tau_init=2", ["spectral_reg.tau_init=2: should be less than or equal to 1"]),
        ("spectral_reg=intra spectral_reg.tau_final=0", ["spectral_reg.tau_final=0: should be greater than 0"]),
        ("criterion.lmbda=-1", ["criterion.lmbda=-1: should be greater than 0"]),
        ("criterion.lmbda=null", ["criterion.lmbda=None: should be a number"]),
        ("criterion.lmbda=inf", ["criterion.lmbda=inf: should be a finite number"]),
        ("optimizer.lr=abc", ["optimizer.lr=abc: should be a number"]),
        ("optimizer.lr=true", ["optimizer.lr=True: should be a number"]),
        ("optimizer.betas=[0.9,1.0]", ["optimizer.betas[1]=1.0: should be less than 1"]),
        ("optimizer.betas=0.9", ["optimizer.betas=0.9: should be a list"]),
        ("model.N=1.5", ["model.N=1.5: should be a whole number"]),
        ("model.N.x=1", ["model.N={'x': 1}: should be a whole number"]),
        ("model.N=???", ["model.N must be given: model.N=..."]),
        ("data.flip=1", ["data.flip=1: should be a boolean"]),
        ("seed=-1", ["seed=-1: should be greater than or equal to 0"]),
        ("trainer.max_steps=0", ["trainer.max_steps=0: should be greater than or equal to 1"]),
        ("trainer.device=tpu", ["trainer.device=tpu: should be auto, cpu, cuda, or cuda:1 and the like"]),
        ("schema_version=1", ["schema_version=1: should be 2"]),
        ("paths.runs=null", ["paths.runs=None: should be a string"]),
        ("data=folder", ["data.train must be given: data.train=...", "data.val must be given: data.val=..."]),
        ("model._target_=os.system", ["model._target_: os.system is outside the packages that may be instantiated"]),
        ("model._target_=lic_exp.models.nosuch.X", ["model._target_: lic_exp.models.nosuch.X: there is no module"]),
    ],
)
def test_refusals(overrides, expected):
    found = messages(*overrides.split())
    assert len(found) == len(expected), found
    for message, beginning in zip(found, expected, strict=True):
        assert message.startswith(beginning)


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("lambda", "Did you mean criterion.lmbda?"),
        ("model.lambda", "Did you mean criterion.lmbda?"),
        ("epochs", "Did you mean trainer.max_epochs?"),
        ("lr", "Did you mean optimizer.lr?"),
        ("batch-size", "Did you mean data.batch_size?"),
        ("patch-size", "Did you mean data.crop_size?"),
        ("model_name", "Did you mean model?"),
        ("max_step", "Did you mean trainer.max_steps?"),
        ("data.batchsize", "Did you mean data.batch_size?"),
        ("model.n", "Did you mean model.N?"),
        ("optimizer.momentum", "there is no such key. optimizer=muon and optimizer=sgd have it."),
        ("spectral_reg.tau_init", "spectral_reg has no options. spectral_reg=intra has it."),
    ],
)
def test_an_unknown_key_is_answered_with_the_one_that_was_meant(key, hint):
    (message,) = messages(f"{key}=1")
    assert message.startswith(f"{key}: there is no such key")
    assert hint in message


def test_an_unknown_key_is_no_hint_for_another():
    found = messages("optimizer.gamma_ray=1", "model.gamma_ray=1")
    assert len(found) == 2
    assert not any("Did you mean" in message for message in found)


def test_two_errors_give_two_messages():
    found = messages("optimizer.lrr=1", "criterion.lmbda=-1", "data.crop_size=100")
    assert [message.split(":")[0] for message in found] == ["optimizer.lrr", "criterion.lmbda=-1", "data.crop_size=100"]


def test_the_report_counts_and_numbers_them():
    report = ConfigError(["one", "two", "one"]).report()
    assert report == "2 errors in this config; nothing was started.\n  1. one\n  2. two"


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (
            "model=hyperprior data.crop_size=100",
            "data.crop_size=100: this model works on multiples of 64 pixels, e.g. 64 or 128",
        ),
        (
            "model=hyperprior data.crop_size=32",
            "data.crop_size=32: this model works on multiples of 64 pixels, e.g. 64",
        ),
        (
            "criterion=ms_ssim data.crop_size=128",
            "data.crop_size=128: this criterion needs at least 161 pixels",
        ),
        (
            "criterion=ms_ssim data.crop_size=192 data.val_crop_size=160",
            "data.val_crop_size=160: this criterion needs at least 161 pixels",
        ),
        (
            "criterion.lmbda=64",
            "criterion.lmbda=64 looks like a weight of MSE on [0, 1] (one lmbda is stored here, CompressAI's: the "
            "weight of 255^2 MSE); write criterion.lmbda=0.000984237, which is 64 / 255^2",
        ),
        (
            "criterion=ms_ssim criterion.lmbda=0.013 data.crop_size=192",
            "criterion.lmbda=0.013 looks like a weight of 255^2 MSE; this criterion weighs 1 - MS-SSIM",
        ),
        ("trainer.max_steps=null", "trainer.max_steps and trainer.max_epochs are both null"),
        (
            "trainer.max_steps=9 trainer.max_epochs=2",
            "trainer.max_steps=9 and trainer.max_epochs=2 both say how long the run is",
        ),
        (
            "spectral_reg=intra spectral_reg.truncation_unit=share",
            "spectral_reg: truncation_length=100.0 is no share of the training",
        ),
        (
            "spectral_reg=intra spectral_reg.truncation_unit=share spectral_reg.truncation_length=0.6 "
            "spectral_reg.truncation_start=0.5",
            "spectral_reg: truncation_start=0.5 + truncation_length=0.6 is past the end of the training",
        ),
        (
            "spectral_reg=intra spectral_reg.truncation_length=2.5",
            "spectral_reg: truncation_start=0.0 and truncation_length=2.5 must be whole numbers of epochs",
        ),
    ],
)
def test_what_several_keys_get_wrong_together(overrides, expected):
    (message,) = messages(*overrides.split())
    assert message.startswith(expected)


@pytest.mark.parametrize(
    "overrides",
    [
        "model=factorized data.crop_size=16",
        "criterion=ms_ssim data.crop_size=192",
        "criterion.lmbda=0.9999",
        "trainer.max_steps=null trainer.max_epochs=2",
        "spectral_reg=intra spectral_reg.truncation_unit=share spectral_reg.truncation_length=1",
    ],
)
def test_the_nearest_valid_config_is_accepted(overrides):
    assert checked(*overrides.split())


@pytest.mark.usefixtures("toy_folder")
class TestPlugin:
    PLUGIN = f"plugins=[{toy.NAME}]"

    def test_its_options_are_checked_like_ours(self):
        found = messages(self.PLUGIN, "model=toy", "model.channels=0", "model.trouble=much", "model.chanels=1")
        assert found == [
            "model.chanels: there is no such key. Did you mean model.channels? "
            "Valid keys of model: weights, weights_key, partial_weights, freeze, portable, channels, trouble, newer, "
            "verbose",
            "model.channels=0: should be greater than or equal to 1",
            "model.trouble=much: should be 'none', 'raise', 'diverge', 'kill', 'memory' or 'slow'",
        ]

    def test_its_facts_are_used(self):
        assert checked(self.PLUGIN, "model=toy", "data.crop_size=12")
        (message,) = messages(self.PLUGIN, "model=toy_pyramid", "data.crop_size=12")
        assert message == "data.crop_size=12: this model works on multiples of 8 pixels, e.g. 8 or 16"

    def test_a_regularizer_of_several_scales_needs_a_model_that_has_them(self):
        assert checked(self.PLUGIN, "model=toy_pyramid", "spectral_reg=toy_pair")
        for model in ("toy", "mean_scale_hyperprior"):
            (message,) = messages(self.PLUGIN, f"model={model}", "spectral_reg=toy_pair")
            assert message == (
                "this regularizer compares scales and needs at least 2 latents; this model has 1. "
                "Choose a hierarchical model, or spectral_reg=intra"
            )

    RANGE = (PLUGIN, "model=toy_scalable", "criterion=variable_rate")

    def test_a_variable_rate_model_wants_a_range(self):
        assert checked(*self.RANGE, "evaluation.qualities=[0,31.5]").evaluation.qualities == [0.0, 31.5]
        (message,) = messages(self.PLUGIN, "model=toy_scalable", "criterion=mse", "criterion.lmbda=0.02")
        assert message == (
            "this model serves a range of rates, not criterion.lmbda=0.02 alone: choose criterion=variable_rate, "
            "and its range by criterion.lmbda_min and criterion.lmbda_max"
        )
        (message,) = messages("criterion=variable_rate")
        assert message.startswith("this criterion draws a rate per image, which this model cannot be told: choose a")

    @pytest.mark.parametrize(
        ("override", "expected"),
        [
            (
                "criterion.lmbda=0.01",
                "criterion.lmbda: there is no such key. This criterion draws a lmbda per image: set its range, "
                "criterion.lmbda_min and criterion.lmbda_max.",
            ),
            ("lambda=0.01", "lambda: there is no such key. This criterion draws a lmbda per image"),
            ("criterion.lmbda_max=4096", "criterion.lmbda_max=4096 looks like a weight of MSE on [0, 1]"),
            ("criterion.lmbda_min=0.07", "criterion.lmbda_min=0.07 must be less than criterion.lmbda_max=0.0629912"),
            ("criterion.validation_rates=0", "criterion.validation_rates=0: should be greater than or equal to 1"),
            ("criterion.drawn_qualities=all", "criterion.drawn_qualities=all: should be 'continuous' or 'whole'"),
            ("evaluation.qualities=[]", "evaluation.qualities=[]: give at least one, or null"),
            ("evaluation.qualities=[3,3.0]", "evaluation.qualities=[3.0, 3.0]: a quality stands there twice"),
            ("evaluation.qualities=[-1]", "evaluation.qualities[0]=-1: should be greater than or equal to 0"),
        ],
    )
    def test_a_range_of_rates_is_judged(self, override, expected):
        (message,) = messages(*self.RANGE, override)
        assert message.startswith(expected)

    def test_a_weight_on_the_unit_interval_is_converted(self):
        (message,) = messages(*self.RANGE, "criterion.lmbda_max=4096")
        assert message.endswith("write criterion.lmbda_max=0.0629912, which is 4096 / 255^2")

    def test_qualities_are_of_variable_rate_models(self):
        assert messages("evaluation.qualities=[1]") == [
            "evaluation.qualities=[1.0]: this model has one rate; set evaluation.qualities=null"
        ]

    def test_a_target_in_it_must_be_allowed(self):
        (message,) = messages("tracker=none", f"tracker.mine._target_={toy.NAME}.codecs.Toy")
        assert message == (
            f"tracker.mine._target_: {toy.NAME}.codecs.Toy is outside the packages that may be instantiated (lic_exp); "
            f"add plugins=[{toy.NAME}]"
        )


def test_whole_floats_become_integers_and_integers_floats():
    """So that two ways to write a number are one run."""
    config = checked("trainer.max_steps=1e5", "model.N=6.4e1", "optimizer.lr=1", "trainer.clip_max_norm=2")
    assert (config.trainer.max_steps, config.model.options["N"]) == (100_000, 64)
    assert isinstance(config.trainer.max_steps, int)
    assert isinstance(config.optimizer.options["lr"], float)
    assert isinstance(config.trainer.clip_max_norm, float)


def test_the_normal_form_is_stable():
    config = checked("spectral_reg=intra")
    assert validate(config.plain()).plain() == config.plain()


@pytest.mark.parametrize(
    ("word", "valid", "expected"),
    [
        ("lrr", ["lr", "eps"], "lr"),
        ("tua", ["tau_init", "eps"], "tau_init"),
        ("n", ["N", "M"], "N"),
        ("crop", ["crop_size", "flip"], "crop_size"),
        ("typo", ["lr", "eps"], None),
        ("", ["lr"], None),
    ],
)
def test_nearest(word, valid, expected):
    assert nearest(word, valid) == expected


class TestConfigObject:
    def test_it_cannot_be_changed_behind_its_signature(self):
        config = validate(compose(parse(["data=synthetic"])))
        with pytest.raises(TypeError, match="with_values"):
            config.model_copy(update={"seed": 1})
        with pytest.raises(ValidationError):
            config.seed = 1
        with pytest.raises(TypeError):
            config.model.options["widths"] = []

    def test_it_can_be_copied_and_pickled(self):
        config = validate(compose(parse(["data=synthetic", "spectral_reg=both", "tracker=[mlflow]"])))
        for twin in (copy.deepcopy(config), pickle.loads(pickle.dumps(config))):
            assert (twin, twin.signature, twin.plain()) == (config, config.signature, config.plain())


@pytest.mark.parametrize("key", ["ema", "model.net", "."])
@pytest.mark.parametrize(
    ("beside", "more"), [([], ""), (["init_from='0123456789abcdef'"], "; init_from=0123456789abcdef needs none")]
)
def test_a_place_in_weights_that_are_not_given_is_refused(key, beside, more):
    said = f"model.weights_key={key}: says where in model.weights the weights lie, and that is null{more}"
    assert messages(f"model.weights_key={key}", *beside) == [said]


def test_so_it_is_from_python():
    with pytest.raises(ConfigError, match=r"^model\.weights_key=ema: says where in model\.weights the weights lie"):
        lic_exp.create_model("factorized_tiny", weights_key="ema")
    with pytest.raises(ConfigError, match=r"^model\.weights_key=ema: says where"):
        lic_exp.complexity("factorized_tiny", weights_key="ema")


def test_a_run_of_before_that_has_such_a_place_is_read():
    plain = checked().plain()
    plain["model"]["weights_key"] = "ema"
    assert stored_config(plain).signature == checked().signature
