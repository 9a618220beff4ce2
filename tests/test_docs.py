"""What the documents say is so: paths and names exist, links resolve, commands validate, examples run."""

import ast
import importlib
import json
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from checkout import ROOT, program
from commands import launch
from documents import DOCUMENTS, blocks, check, command_lines, write_package

from analysis.__main__ import commands as analysis_commands
from lic_exp.cli.commands import commands as cli_commands
from lic_exp.config.compose import compose
from lic_exp.config.errors import ConfigError
from lic_exp.config.options import options
from lic_exp.config.overrides import parse
from lic_exp.config.schema import GROUPS, SEVERAL
from lic_exp.tracking import names

FLAGS = [
    "--model_name",
    "--lambda",
    "--spectral-reg",
    "--tau-init",
    "--tau-final",
    "--truncation-epochs",
    "--train_dataset",
    "--test_dataset",
    "--epochs",
    "--batch-size",
    "--patch-size",
    "--learning-rate",
    "--clip_max_norm",
    "--checkpoint",
    "--save_path",
    "--cuda",
    "--seed",
    "--num-workers",
]

PATH = re.compile(r"(?<![\w/.])(?:\.ci|analysis|benchmarks|conf|docs|lic_exp|tests)/[\w./-]*(?::\w+)?")
FILE = re.compile(r"`(\w+\.(?:py|toml|md))`")
NAME = re.compile(r"`((?:lic_exp|analysis)(?:\.\w+)+)")
LINK = re.compile(r"\[[^]]*\]\((?!https?:)([^)#]+)")
METRIC = re.compile(r"`((?:train|val|spectral|eval)/\w+)`")


def each(pattern: re.Pattern[str]) -> list:
    """Every match in the documents, as a test parameter that names its document."""
    found = {(d, match) for d in DOCUMENTS for match in pattern.findall(d.read_text()) if "NAME" not in match}
    return [pytest.param(document, match, id=f"{document.name}: {match}") for document, match in sorted(found)]


def commands() -> Iterator[str]:
    """The command lines `python launch.py ...` of all documents."""
    for document in DOCUMENTS:
        yield from (line for line in command_lines(document.read_text()) if line.startswith("python launch.py"))


@pytest.fixture(scope="module")
def my_package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder that holds the documents' example package, on the path of this process."""
    folder = tmp_path_factory.mktemp("example")
    write_package(folder)
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))


@pytest.mark.parametrize(("document", "place"), each(PATH))
def test_path_exists(document: Path, place: str) -> None:
    path, _, name = place.rstrip(".").partition(":")
    assert (ROOT / path).exists()
    if name:
        defined = {node.name for node in ast.parse((ROOT / path).read_text()).body if hasattr(node, "name")}
        assert name in defined


@pytest.mark.parametrize(("document", "place"), each(FILE))
def test_top_level_file_exists(document: Path, place: str) -> None:
    assert (ROOT / place).exists()


@pytest.mark.parametrize(("document", "name"), each(NAME))
def test_dotted_name_exists(document: Path, name: str) -> None:
    parts = name.split(".")
    modules = [".".join(parts[:i]) for i in range(len(parts), 0, -1)]
    module = next(
        m
        for m in modules
        if (ROOT / m.replace(".", "/")).is_dir() or (ROOT / m.replace(".", "/")).with_suffix(".py").is_file()
    )
    found = importlib.import_module(module)
    for part in parts[module.count(".") + 1 :]:
        found = getattr(found, part)


@pytest.mark.parametrize(("document", "target"), each(LINK))
def test_link_resolves(document: Path, target: str) -> None:
    assert (document.parent / target).exists()


@pytest.mark.parametrize(("document", "metric"), each(METRIC))
def test_metric_is_logged(document: Path, metric: str) -> None:
    # Those of parameter groups, and terms of a criterion or codec, are no constants.
    others = {names.train_grad_norm("net"), *map(names.train, ("mse_loss", "y_bpp", "z_bpp"))}
    assert metric in others or metric in vars(names).values()


@pytest.mark.parametrize("group", GROUPS)
def test_every_key_named_in_a_document_exists(group: str) -> None:
    texts = "\n".join(document.read_text() for document in DOCUMENTS)
    # `group.key` or group.key=value; not a name of the package (lic_exp.data.sources), nor a file (data.py, data.md).
    named = set(re.findall(rf"(?<![\w./]){group}\.([a-zA-Z_]\w*)\b(?!/|\.\w)", texts)) - {"py", "yaml", "json", "md"}
    keys = {key for option in options(group) for key in compose(parse([f"{group}={option}"]))[group]}
    # What the example package adds, and what the documents show as wrong.
    assert named - keys <= {"lrr", "kernel", "root", "weight", "val_every"}


@pytest.mark.parametrize("command", sorted(set(commands())))
def test_command_validates(command: str, my_package: Path, photos: Path) -> None:
    words = shlex.split(command, comments=True)
    assert all("=" in word or word in {"--cfg", "job", "--help", "-m"} for word in words[2:])
    check(command.replace("/images/kodak", "/images/val"), photos)


def test_every_command_named_in_a_document_exists() -> None:
    texts = "\n".join(document.read_text() for document in DOCUMENTS)
    assert set(re.findall(r"python -m lic_exp ([a-z-]+)", texts)) <= {command.name for command in cli_commands()}
    assert set(re.findall(r"python -m analysis ([a-z-]+)", texts)) <= {*analysis_commands()}


def test_signature_is_shown_as_it_is_called() -> None:
    texts = "\n".join(document.read_text() for document in DOCUMENTS)
    shown = re.findall(r"python -m lic_exp signature ((?:[\w.]+=\S+ ?)+)", texts)
    assert shown
    assert all(len(check(overrides).signature) == 16 for overrides in shown)


def test_refusals_are_shown_as_they_are() -> None:
    found = {block for document in DOCUMENTS for block in blocks(document, "console")}
    shown = [block for block in found if block.startswith("$ python launch.py")]
    assert shown
    for block in shown:
        command, _, output = block.partition("\n")
        with pytest.raises(ConfigError) as error:
            check(command)
        assert error.value.report() == output.rstrip()


def flag_rows() -> list[tuple[str, str]]:
    page = (ROOT / "docs/from_a_train_py.md").read_text()
    return re.findall(r"^\| `(--[\w-]+)[^|]*\| (.*) \|$", page, re.MULTILINE)


def test_flag_table_is_complete() -> None:
    assert set(FLAGS) <= {flag for flag, _ in flag_rows()}


@pytest.mark.parametrize(("flag", "cell"), flag_rows())
def test_flag_table_validates(flag: str, cell: str) -> None:
    spans = re.findall(r"`([^`]+)`", cell)
    for span in spans:
        if "=" in span:
            check(span)
    if flag == "--model_name":
        assert {span for span in spans if "=" not in span} <= set(options("model"))


def test_example_package_trains(my_package: Path, photos: Path, tmp_path: Path) -> None:
    done = launch(
        *("plugins=[my_package]", "spectral_reg=latent_energy", "model=first_kernel", "model.kernel=7"),
        *("data=split", f"data.root={photos}", "data.val_every=2", "data.crop_size=64"),
        *("debug=limit", "tracker=none", "trainer.device=cpu", "trainer.threads=1"),
        folder=tmp_path,
        path=my_package,
    )
    assert done.returncode == 0, done.stderr
    (metrics,) = tmp_path.glob("runs/*/metrics.jsonl")
    logged = [json.loads(line) for line in metrics.read_text().splitlines()]
    assert logged[0]["spectral/latent_energy"] > 0
    assert logged[0]["train/spectral_reg_penalty"] == pytest.approx(1e-3 * logged[0]["spectral/latent_energy"])


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ("import lic_exp\n\nlic_exp.list_models()", "run.status['state'] == 'done' and len(run.metrics)"),
        ("import lic_exp\n\nconfig =", "(config.trainer.max_steps, config.model.options['N']) == (20, 32)"),
    ],
    ids=["runs", "configs"],
)
def test_python_example_runs(first: str, then: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = [block for block in blocks(ROOT / "docs/python.md", "python") if block.startswith(first)]
    monkeypatch.chdir(tmp_path)
    known = {}
    exec(compile(block, "docs/python.md", "exec"), known)
    assert eval(then, known)


def test_the_demo_has_the_name_that_is_shown() -> None:
    pages = [ROOT / "README.md", ROOT / "docs/getting_started.md", ROOT / "docs/runs.md"]
    text = "".join(page.read_text() for page in pages)
    name = check("python launch.py experiment=demo").signature
    assert set(re.findall(r"\b[0-9a-f]{16}\b", text)) == {name}
    assert {name.startswith(short) for short in re.findall(r"-m lic_exp \w+ ([0-9a-f]{4})\b", text)} == {True}


def test_the_demo_is_what_make_runs() -> None:
    recipe = re.search(r"^demo:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe is not None
    training, beside = (line.removeprefix("\t$(BIN)/") for line in recipe[1].splitlines())
    page = (ROOT / "docs/getting_started.md").read_text()
    assert f"`{training}`" in page
    assert "    " + re.sub(r'"\$\$\(.*\)"', "d40c", beside) in page.splitlines()


def test_readme_is_an_introduction() -> None:
    assert len((ROOT / "README.md").read_bytes()) <= 10_000


def test_key_reference_is_current() -> None:
    generator = program("docs/generate_configuration.py")
    current = generator.reference() == generator.FILE.read_text()
    assert current, "docs/configuration.md is stale: run `python docs/generate_configuration.py`"


def test_key_reference_names_every_key() -> None:
    sections = re.split(r"^## ", (ROOT / "docs/configuration.md").read_text(), flags=re.MULTILINE)
    by_title = {section.partition("\n")[0].strip("`"): section for section in sections}
    for group in GROUPS:
        node = compose(parse([]))[group]
        # Several may be chosen of such a group, each under its name.
        parts = {f"{name}.": part for name, part in node.items()} if group in SEVERAL else {"": node}
        keys = {prefix + key for prefix, part in parts.items() for key in part if key != "_target_"}
        assert all(f"`{key}`" in by_title[group] for key in keys)
