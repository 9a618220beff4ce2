"""What is wrong in a package of a user's own is a message that names it, and never a traceback."""

import pytest
from toy import write_package

from lic_exp import exit_codes
from lic_exp.cli.launch import main

NAME = "unreadable_plugin"
FACTS = "facts = CodecFacts(downsampling_factor=4, latents=1)"
COMMON = "weights: null\npartial_weights: false\nfreeze: []\n"

SOURCES = {
    "no_syntax": ("class NAME(:\n", "line 1: invalid syntax"),
    "null_byte": ("class NAME: ...\0", "null bytes"),
    "brackets": (f"x = {'(' * 500}{')' * 500}\nclass NAME: ...", "too many nested parentheses"),
    "signs": (f"x = {'-' * 20000}1\nclass NAME: ...", "it is nested too deep"),
    "union": (f"class NAME:\n    def __init__(self, *, n: {'|'.join(['int'] * 3000)}): ...", "nested too deep"),
    "digits": (f"class NAME:\n    def __init__(self, *, n: Literal[{'9' * 5000}]): ...", "Exceeds the limit"),
    "circle": ("class NAME(Other): ...\nclass Other(NAME): ...", "its bases go in a circle"),
    "no_factor": ("class NAME:\n    facts = CodecFacts(downsampling_factor=0, latents=1)", "a whole number from 1 on"),
    "no_fact": (
        "class NAME:\n    facts = CodecFacts(downsampling_factor=4, latents='2')",
        "latents='2' should be of the",
    ),
    "no_text": (f"@declares(Forbids({{}}, 'a {{'))\nclass NAME:\n    {FACTS}", "what it declares makes no sense"),
    "no_conditions": (f"@declares(Forbids(3, 'x'))\nclass NAME:\n    {FACTS}", "what it declares makes no sense"),
    "underscore": ("class NAME:\n    def __init__(self, *, _n: int): ...", "no option can have the name '_n'"),
    "pydantics": ("class NAME:\n    def __init__(self, *, model_config: int): ...", "no option can have the name"),
}

OPTIONS = {
    "tag": ("N: !!python/object/apply:os.getcwd []\n", "python/object/apply:os.getcwd"),
    "tabs": ("a:\n\tb: 1\n", "tabs.yaml"),
    "open": ("a: [1,\n", "open.yaml"),
    "twice": ("N: 1\nN: 2\n", "found duplicate key N"),
    "control": ("a: \0\n", "control characters are not allowed"),
    "deep": (f"a: {'[' * 3000}{']' * 3000}\n", "recursion"),
    "alias": ("a: &a [*a]\n", "recursion"),
    "number": (f"N: {'9' * 6000}\n", "digits"),
    "defaults": ("defaults: 5\n", "defaults must be a list"),
    "numbered": ("defaults: [hyperprior_tiny, _self_]\n1: 2\n", "model.1: there is no such key"),
}


@pytest.fixture(scope="module", autouse=True)
def _package(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unreadable")
    files = {"__init__.py": ""}
    for name, (text, _) in SOURCES.items():
        files[f"{name}.py"] = text.replace("NAME", name.title())
        files[f"conf/model/{name}.yaml"] = f"_target_: {NAME}.{name}.{name.title()}\n{COMMON}"
    files |= {f"conf/model/{name}.yaml": text for name, (text, _) in OPTIONS.items()}
    write_package(folder, NAME, files)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield


@pytest.mark.parametrize("name", [*SOURCES, *OPTIONS])
def test_it_is_named(name, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main([f"plugins=[{NAME}]", f"model={name}", "data=synthetic"]) == exit_codes.CONFIG
    assert (SOURCES | OPTIONS)[name][1] in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_an_option_that_cannot_be_read_does_not_spoil_hints_about_others(capsys):
    assert main([f"plugins=[{NAME}]", "optimizer.momentum=1"]) == exit_codes.CONFIG
    assert "optimizer=muon and optimizer=sgd have it" in capsys.readouterr().err
    assert main([f"plugins=[{NAME}]", "model.nosuch_num=1"]) == exit_codes.CONFIG
    assert "there is no such key" in capsys.readouterr().err
