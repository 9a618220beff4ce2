"""Overrides that Hydra's grammar cannot read: what needs quotes, and a form that can be copied."""

import shlex
import subprocess

import pytest

from lic_exp.config.errors import ConfigError
from lic_exp.config.loading import load_config
from lic_exp.config.overrides import cells, is_sweep, parsed, values_of

LISTS = {
    "[/é/中]": ["/é/中"],
    "[~/v]": ["~/v"],
    "[/a,/b#c]": ["/a", "/b#c"],
    "[a&b, c d]": ["a&b", "c d"],
    "[/x;y]": ["/x;y"],
    '["/a",é, b]': ["/a", "é", "b"],
}
TEXTS = ["a=b", "=", "~/x", "é", "a&b", "a#b", "a;b", "a<b", "it's", 'say "x', "(x)", "[a", "a]", "{a", "a,b=c", "x${"]
TEXTS += ["a!", "100€", "back`tick", "日本", "💥", "^", ",x", "'open", "a,'b"]


def refusal(*overrides):
    with pytest.raises(ConfigError) as error:
        load_config(overrides)
    return error.value.messages


def advised(message):
    """The override that a message advises, as a shell would hand it over."""
    (word,) = shlex.split(message.partition(" write ")[2])
    return parsed(word)


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_advised_in_quotes_that_mean_it(text):
    (message,) = refusal(f"name={text}")
    assert message.startswith(f"name={text}: cannot be read")
    assert load_config([advised(message).input_line]).name == text
    assert "token recognition" not in message


@pytest.mark.parametrize("value", LISTS)
def test_a_list_is_advised_with_each_entry_in_quotes(value):
    found = refusal("data=folder", f"data.train={value}", "data.val=[/v]")
    assert len(found) == 1  # that it must be given would be untrue
    assert advised(found[0]).value() == LISTS[value]


@pytest.mark.parametrize("value", ["[1,2", "{a:1", "[[a]", "[a,;,]"])
def test_what_may_have_been_left_open_is_asked_first(value):
    (message,) = refusal(f"name={value}")
    assert "; is a bracket or a quote left open? If it is a text, write '" in message
    assert advised(message).value() == value


def test_an_entry_deep_inside_gets_its_quotes():
    (message,) = refusal('stages=[{"steps":1,data:{train:[/é,b],"x":[;]}}]')
    assert advised(message).value() == [{"steps": 1, "data": {"train": ["/é", "b"], "x": [";"]}}]


@pytest.mark.parametrize("text", ["a\n;", "\x1b[1m;", "it's\t\\;", "\u202ea=b"])
def test_control_characters_are_advised_as_a_shell_takes_them(text):
    (message,) = refusal(f"name={text}")
    word = message.partition("; write ")[2]
    assert word.isprintable()
    said = subprocess.run(
        ["bash", "-c", f"printf %s {word}"], capture_output=True, env={"LC_ALL": "C.UTF-8"}, check=True
    )
    assert load_config([said.stdout.decode()]).name == text


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("optimizer.betas[0]=0.5", "An entry of a list is named with a dot: optimizer.betas.0=..."),
        ("optimizer.betas.x=0.5", "the entries of a list have numbers for names, from 0 on"),
        ("data..x=1", "A key has letters, digits, _ and . in it"),
        ("optimizer.lr_factors={^g:1}", "The keys of a mapping are words"),
        ('optimizer.lr_factors={"é":1}', "The keys of a mapping are words"),
        ('optimizer.lr_factors={" ":1}', "optimizer.lr_factors has a key that is empty"),
        ("seed=interval(1,2**64)", "; interval(...) takes nothing of this kind. If it is a text, write"),
        ('name="${"', "this is no interpolation; a text has a backslash before ${"),
        ("hydra.mode=x", "Invalid value 'x', expected one of"),
        ("name=2024", """should be a string; in quotes it is one, 'name="2024"'"""),
        ("init_from=12e4567890123456", """in quotes it is one, 'init_from="..."'"""),
        ("tags=[7]", """in quotes it is one, 'tags=["7"]'"""),
        ("stages=[5]", "stages[0]=5: should be a dictionary"),
    ],
)
def test_what_is_wrong_is_said_in_words_that_help(override, expected):
    (message,) = refusal(override)
    assert message.startswith(override.partition("=")[0].partition("[")[0])
    assert expected in message
    assert "Error merging" not in message
    assert "StageOverrides" not in message


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("name=a,b", """, or quotes to be one: 'name="a,b"'"""),
        ("tracker=mlflow,tensorboard", ", or brackets to be together: tracker=[mlflow,tensorboard]"),
        ("tracker=none,mlflow", "(--multirun)"),
        ("model=dhic,hyperprior", "(--multirun)"),
        ("seed=1,2", "(--multirun)"),
    ],
)
def test_several_values_are_one_in_a_form_that_works(override, expected):
    with pytest.raises(ConfigError) as error:
        cells([override], several=False)
    assert str(error.value).endswith(expected)


@pytest.mark.parametrize("char", ["é", "=", "~", "#", "&", "💥"])
def test_the_character_is_named(char):
    (message,) = refusal(f"name=a{char}b")
    assert f"cannot be read: {char} needs quotes" in message


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("é=1", "A key has letters, digits, _ and . in it"),
        ("a b=1", "A key has letters, digits, _ and . in it"),
        ("optimizer.lr", "An override has the form key=value."),
        (f"seed={'9' * 5000}", "A number has at most 4300 digits."),
        (f"name={'[' * 3000}", "put it in quotes, name='...'"),
        (f"name={'é' * 3000}", "put it in quotes, name='...'"),
    ],
)
def test_what_quotes_would_not_help(override, expected):
    (message,) = refusal(override)
    assert expected in message
    assert len(message) < 400


@pytest.mark.parametrize("override", ["name=é", f"seed={'9' * 5000}", f"name={'[' * 3000}", "x"])
def test_an_unreadable_override_is_nobodys_value(override):
    assert not is_sweep(override)
    assert values_of([override, "seed=1"], "seed") == [1]
    with pytest.raises(ConfigError, match="cannot be read"):
        cells([override], several=True)


@pytest.mark.parametrize(
    ("wrong", "others"),
    [
        ("model=nosuch", ["model.K=3", "model.channels=2"]),
        ("spectral_reg=nosuch", ["spectral_reg.tau_init=0.5"]),
        ("data=fodler", ["data.train=[a]", "data.val=[b]"]),
    ],
)
def test_of_a_group_whose_choice_is_wrong_nothing_else_is_said(wrong, others):
    (message,) = refusal(wrong, *others)
    assert message.startswith(f"{wrong}: ")


def test_a_home_folder_is_expanded_for_the_runs_too(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    assert load_config(["paths.runs='~/x'"]).paths.runs == "/home/somebody/x"
