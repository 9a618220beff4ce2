"""Overrides that Hydra's grammar cannot read: what needs quotes, and a form that can be copied."""

import shlex

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
}
TEXTS = ["a=b", "=", "~/x", "é", "a&b", "a#b", "a;b", "a<b", "it's", 'say "x', "(x)", "[a", "a]", "{a", "a,b=c", "x${"]
TEXTS += ["a!", "100€", "back`tick", "日本", "💥", "^", ",x", "'open", "a,'b"]


def refusal(*overrides):
    with pytest.raises(ConfigError) as error:
        load_config(overrides)
    return error.value.messages


def advised(message):
    """The override that a message advises, as a shell would hand it over."""
    (word,) = shlex.split(message.partition("; write ")[2])
    return parsed(word)


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_advised_in_quotes_that_mean_it(text):
    (message,) = refusal(f"name={text}")
    assert message.startswith(f"name={text}: cannot be read")
    assert advised(message).value() == text
    assert "token recognition" not in message


@pytest.mark.parametrize("value", LISTS)
def test_a_list_is_advised_with_each_entry_in_quotes(value):
    found = refusal("data=folder", f"data.train={value}", "data.val=[/v]")
    assert len(found) == 1  # that it must be given would be untrue
    assert advised(found[0]).value() == LISTS[value]


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
