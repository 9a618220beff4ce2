"""A package that would write a file wherever its text is run: nothing that only looks at it makes it do so."""

import logging
import sys

import pytest
import toy

from lic_exp import exit_codes
from lic_exp.cli.launch import main

NAME = "hostile_plugin"
SHORT = ("model=hyperprior_tiny", "data=synthetic", "data.crop_size=64", "tracker=none", "evaluation.enabled=false")

ANNOTATIONS = {
    "called": "__import__('pathlib').Path({mark!r}).touch()",
    "by_classes": "[c for c in ().__class__.__base__.__subclasses__() if c.__name__ == 'catch_warnings'][0]()."
    "_module.__builtins__['open']({mark!r}, 'w')",
    "in_a_text": "\"__import__('pathlib').Path({mark!r}).touch()\"",
    "in_a_text_within": "list[\"__import__('pathlib').Path({mark!r}).touch()\"]",
    "in_a_mapping": "dict[str, open({mark!r}, 'w')]",
    "in_a_literal": "Literal[open({mark!r}, 'w')]",
    "in_a_mark": "Annotated[int, Neutral(open({mark!r}, 'w'))]",
    "named": "(write := open({mark!r}, 'w')) | int",
    "on_a_condition": "int if open({mark!r}, 'w') else str",
    "of_a_lambda": "(lambda: open({mark!r}, 'w'))()",
    "for_ever": "Literal[10 ** 10 ** 10]",
}

BODY = """
from pathlib import Path

Path({mark!r}).touch()

from lic_exp.capabilities import CodecFacts, TrackerNeeds
from lic_exp.models.compressai_zoo import Hyperprior


class Sound(Hyperprior):
    facts = CodecFacts(downsampling_factor=64, latents=1)

    def __init__(self, *, N: int, M: int):
        super().__init__(N=N, M=M)


class Store:
    needs = TrackerNeeds(package="{name}.deeper.still", extra="x")

    def __init__(self, run, name, *, flush_s: float): ...

    def start(self): ...

    def poke(self): ...

    def finish(self, state): ...
"""

COMMON = "weights: null\npartial_weights: false\nfreeze: []\n"
SOUND = f"defaults: [hyperprior_tiny, _self_]\n_target_: {NAME}.codecs.Sound\n"
CALLBACK = f"{{_target_: {NAME}.codecs.Callback}}"
HANDLER = "{version: 1, handlers: {h: {class: logging.FileHandler, filename: MARK}}, root: {handlers: [h]}}"
IMPORTED = f"{{version: 1, handlers: {{h: {{(): {NAME}.codecs.handler}}}}, root: {{handlers: [h]}}}}"

YAML = {
    "constructed": "_target_: !!python/object/apply:pathlib.Path.touch [!!python/name:pathlib.Path MARK]\n",
    "called_back": f"# @package _global_\nhydra:\n  callbacks:\n    one: {CALLBACK}\n",
    "handled": f"# @package _global_\nhydra:\n  job_logging: {HANDLER}\n",
    "imported": f"# @package _global_\nhydra:\n  hydra_logging: {IMPORTED}\n",
    "resolved": "# @package _global_\nname: ${hostile:MARK}\n",
    "found": f"# @package _global_\nhydra:\n  searchpath: [pkg://{NAME}.conf]\n",
    "chosen": "# @package _global_\ndefaults:\n  - override /hydra/job_logging: hostile\n",
}


@pytest.fixture(scope="module")
def mark(tmp_path_factory):
    """The file that any of its text would write."""
    folder = tmp_path_factory.mktemp("hostile")
    mark = folder / "written"
    files = {"__init__.py": f"open({str(mark)!r}, 'w')\n", "codecs.py": BODY.format(mark=str(mark), name=NAME)}
    files["conf/model/sound.yaml"] = SOUND
    files["conf/tracker/store.yaml"] = f"store:\n  _target_: {NAME}.codecs.Store\n  flush_s: 1.0\n"
    files["conf/hydra/job_logging/hostile.yaml"] = HANDLER.replace("MARK", str(mark))
    files["conf/hydra/launcher/nested.yaml"] = (
        "_target_: hydra._internal.core_plugins.basic_launcher.BasicLauncher\n"
        f"more: {{_target_: pathlib.Path.touch, self: {mark}}}\n"
    )
    for name, text in ANNOTATIONS.items():
        code = f"class Codec:\n    def __init__(self, *, n: {text.format(mark=str(mark))}): ...\n"
        files[f"by_{name}.py"] = code.replace("class Codec", f"class {name.title()}")
        files[f"conf/model/by_{name}.yaml"] = f"_target_: {NAME}.by_{name}.{name.title()}\nn: 1\n{COMMON}"
    files |= {f"conf/debug/{name}.yaml": text.replace("MARK", str(mark)) for name, text in YAML.items()}
    toy.write_package(folder, NAME, files)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield mark


@pytest.fixture
def said(mark, tmp_path, monkeypatch, capsys):
    """Gives a command line and returns (exit code, what was said); nothing of the package may have run."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        before = list(logging.root.handlers)
        try:
            code = main([f"plugins=[{NAME}]", *SHORT, *arguments])
        except SystemExit as ended:  # Hydra's way to end what it shows
            code = ended.code
        added = [handler for handler in logging.root.handlers if handler not in before]
        logging.root.handlers[:] = before  # Hydra's write to what stderr is now
        assert not mark.exists()
        assert not [name for name in sys.modules if name.split(".")[0] == NAME]
        assert not any(isinstance(handler, logging.FileHandler) for handler in added)
        assert not list(tmp_path.iterdir())
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return code, out + err

    return run


LOOKING = (["--cfg", "job"], ["--help"], ["--cfg", "hydra"], ["--info", "config"], ["plan=true"])


@pytest.mark.parametrize("look", LOOKING, ids=" ".join)
def test_looking_at_a_sound_option_imports_nothing(said, look):
    code, text = said("model=sound", *look)
    assert code == exit_codes.DONE, text


@pytest.mark.parametrize("name", ANNOTATIONS)
def test_an_annotation_is_read_and_never_run(said, name):
    code, text = said(f"model=by_{name}")
    assert code == exit_codes.CONFIG
    assert f"model._target_: {NAME}.by_{name}" in text
    assert "of option 'n' is none of the forms that can be read" in text


@pytest.mark.parametrize("name", YAML)
def test_a_yaml_file_has_nothing_called(said, name):
    """What Hydra would only read may be shown; where it would begin to call, it is refused."""
    if name == "chosen":  # ours takes its place
        assert said(f"debug={name}", "--help")[0] == exit_codes.DONE
    elif name in ("called_back", "handled", "imported"):
        assert said(f"debug={name}", "--cfg", "job")[0] == exit_codes.DONE
        assert said(f"debug={name}", "hydra.verbose=false")[0] == exit_codes.CONFIG
    else:
        assert said(f"debug={name}")[0] == exit_codes.CONFIG


def test_what_an_optional_package_holds_is_not_imported_to_look_for_it(said):
    code, text = said("tracker=store", "--cfg", "job")
    assert code == exit_codes.CONFIG
    assert f"tracker.store needs the package {NAME}.deeper.still" in text


@pytest.mark.parametrize(
    "override",
    [
        "hydra.callbacks={one:{_target_:os.system,command:ls}}",
        "hydra.callbacks.one._target_=os.system",
        "+hydra/callbacks=log_job_return",
        "hydra.job_logging.handlers.h.class=logging.FileHandler",
        "hydra={callbacks:{one:{_target_:os.system}}}",
        "model@hydra.callbacks.one=sound",
        f"hydra.searchpath=[pkg://{NAME}.conf]",
        "hydra/launcher=nested",
    ],
)
def test_a_command_line_has_hydra_call_nothing_either(said, override):
    code, text = said(override, "--cfg", "hydra")
    assert code == exit_codes.CONFIG, text
