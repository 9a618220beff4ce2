"""Every override that a page, a comment of an option or a docstring shows composes to a valid config."""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
import yaml
from checkout import ROOT
from documents import FENCE, check, docstrings, fenced, write_package

from lic_exp.config import validation
from lic_exp.config.compose import compose
from lic_exp.config.options import groups, options
from lic_exp.config.overrides import parse

PAGES = sorted(
    {ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md")} - {ROOT / "docs/configuration.md"}
)
"""`docs/configuration.md` is made of the options, which are built one by one elsewhere."""

WORD = re.compile(r"""(?<![\w.=/'"<-])(?:'([^']*)'|"([^"]*)"|([\w/.]+=[^\s`]*[^\s`.,;:)]))""")
"""A word of a shell, or of Python, that may be an override."""

EXAMPLE = re.compile(r"^(\w+):.*#.*\be\.g\. (\S.*?)(;|$)", re.MULTILINE)
"""A key of an option whose comment gives a value for it."""

PLACES = {
    **dict.fromkeys(("[DIR]", "[DIR, ...]", "[FLICKR2W]", "[/images/train]"), "[{photos}/train]"),
    **dict.fromkeys(("[DIR2]", "[/images/val]", "[/images/kodak]"), "[{photos}/val]"),
    **dict.fromkeys(("DIR", "DIR2", "KODAK", "/images/kodak"), "{photos}/val"),
    **dict.fromkeys(("FILE", "RUN/checkpoints/best.pt", "runs/<signature>/checkpoints/best.pt"), "{photos}/val/c.png"),
    '[/images/train, "/images/train/*.gif"]': '[{photos}/train, "{photos}/train/*.png"]',
    '["~/images/kodak"]': "[{photos}/val]",
    "FOLDER": "{photos}",
    "[your_package]": "[my_package]",
    '["my_package"]': "[my_package]",
    "[ONE,ANOTHER]": "[mlflow,tensorboard]",
}
"""What stands for something of the reader's own: a value, and one to try."""

OF_ONE_GROUP = {"inter_scale.md": "spectral_reg=inter"}
"""The page that leaves out the group before a key, and the option whose keys they are."""

NOTHING = re.compile(r"(\.\.\.|NAME|name|VALUE|KEY|)$|.*(=\.\.\.|\bKEY\b)")
"""Values that show a form."""

SWEEP = re.compile(r"=[^\[{('\"\s]+,")
"""Several values."""

HEAD = re.compile(r"[./=]")

SEARCHED = re.compile(r"tag\(log,interval\((.*),.*\)\)")
"""An interval, and its lower end."""

IMAGES = ("data=folder", "data.train=[DIR]", "data.val=[DIR2]")
ONE_RATE = ("model=hyperprior_tiny", "criterion=mse")

BESIDE = {
    r"experiment=(dhic_paper|hpcm_\w+)|scale=(gpu|paper)|data=folder|data\.(train|val)=": IMAGES,
    r"data\.train_weights=": ("data=folder", "data.train=['{photos}/train', '{photos}/val']", "data.val=[DIR2]"),
    r"model=hpcm_(base|large)": ("data.crop_size=256",),
    r"criterion\.lmbda=|criterion=mse|model\.N=": ONE_RATE,
    r"criterion=ms_ssim": ("model=hyperprior_tiny", "data.crop_size=192"),
    r"evaluation\.qualities=": ("model=dhic_tiny",),
    r"spectral_reg\.(tau_init|tau_final|truncation_length|mask)=": ("spectral_reg=intra",),
    r"spectral_reg\.(alignment|conv|metric|bound|delta|sign|detach|gradient_cap|on_breach)=": ("spectral_reg=inter",),
    r"spectral_reg\.weight=": ("plugins=[my_package]", "spectral_reg=latent_energy"),
    r"scheduler\.milestones=": ("scheduler=multistep",),
    r"scale=|variant=": ("experiment=table3a",),
    r"model\.weights_key=": ("model.weights=FILE",),
    r"trainer\.max_epochs=": ("trainer.max_steps=null",),
    r"trainer\.eval_weights=ema": ("trainer.ema_decay=0.999",),
    r"hydra\.launcher\.(additional_parameters|partition|gpus_per_node)=": ("hydra/launcher=slurm",),
    r"hydra\.sweeper\.": ("hydra/sweeper=search",),
}
"""What an override needs beside it, where the text leaves that to the reader."""


def keys() -> dict[str, str]:
    """What the left side of an override begins with: {itself: what it stands for}."""
    return {key: key for key in (*groups(), *compose(parse([])), "plugins", "hydra", "plan")}


def keys_of(choice: str) -> dict[str, str]:
    """The same of an option's keys, where a page leaves out the group: `choice` is GROUP=OPTION."""
    group = choice.partition("=")[0]
    return {key: f"{group}.{key}" for key in compose(parse([choice]))[group]}


def overrides_in(text: str, known: Mapping[str, str]) -> tuple[str, ...]:
    found = ("".join(words).lstrip("+") for words in WORD.findall(text))
    found = (word[:-1] if word.endswith("]") and "[" not in word else word for word in found)  # a list of overrides
    shown = [word for word in found if "=" in word and not NOTHING.match(word) and not NOTHING.match(value_of(word))]
    return tuple(known[head] + word[len(head) :] for word in shown if (head := HEAD.split(word)[0]) in known)


def value_of(word: str) -> str:
    return word.partition("=")[2]


def shown_in_texts() -> Iterator[tuple[Path, str]]:
    """Each piece of text that may hold overrides which belong together, and where it stands."""
    for page in PAGES:
        text = page.read_text()
        yield from ((page, " ".join(span.split())) for span in re.findall(r"`([^`]+)`", FENCE.sub("", text)))
        blocks = [block for language in ("python", "yaml") for block in fenced(text, language)]
        yield from ((page, line) for block in blocks for line in block.splitlines())
    for path in sorted(ROOT.glob("conf/**/*.yaml")):
        yield from ((path, line.partition("#")[2]) for line in path.read_text().splitlines())
    for path, text in docstrings():
        yield from ((path, span) for span in re.findall(r"`([^`]+)`", text))


def documented() -> list:
    everywhere, found = keys(), dict[tuple[str, ...], Path]()
    on_page = {page: everywhere | keys_of(choice) for page, choice in OF_ONE_GROUP.items()}
    for path, text in shown_in_texts():
        if overrides := overrides_in(text, on_page.get(path.name, everywhere)):
            found.setdefault(overrides, path)
    return [pytest.param(words, id=f"{path.name}: {' '.join(words)}") for words, path in found.items()]


def examples() -> list:
    """The values that comments of options give for their keys."""
    found = {}
    for path in sorted(ROOT.glob("conf/**/*.yaml")):
        *group, option = path.relative_to(ROOT / "conf").with_suffix("").parts
        chosen = [f"{'/'.join(group)}={option}"] if group else []
        for key, value, _ in EXAMPLE.findall(path.read_text()):
            words = (*chosen, f"{'.'.join((*group, key))}={value}")
            found.setdefault(words[-1], words)
    return [pytest.param(words, id=" ".join(words)) for words in found.values()]


def completed(words: Sequence[str], photos: Path) -> list[str]:
    """A command line: the overrides, what they need beside them, and places that are there."""
    beside = [
        need for pattern, needs in BESIDE.items() if any(re.match(pattern, word) for word in words) for need in needs
    ]
    given = {word.partition("=")[0] for word in words}
    line = [*(need for need in dict.fromkeys(beside) if need.partition("=")[0] not in given), *words]
    parts = (SEARCHED.sub(r"\1", word).partition("=") for word in line)
    values = ((key, PLACES.get(value, value)) for key, _, value in parts)
    return [f"{key}={value}".replace("{photos}", str(photos)) for key, value in values]


DOCUMENTED, EXAMPLES = documented(), examples()


@pytest.fixture(scope="module")
def my_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("example")
    write_package(folder)
    return folder


@pytest.fixture
def whole(my_package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader has what the pages speak of: the example package, and every optional one."""
    monkeypatch.syspath_prepend(str(my_package))
    monkeypatch.setattr(validation, "not_installed", lambda path, component: iter(()))


@pytest.mark.usefixtures("whole")
@pytest.mark.parametrize("words", [*DOCUMENTED, *EXAMPLES])
def test_documented_overrides_are_valid(words: tuple[str, ...], photos: Path) -> None:
    key, _, value = words[0].partition("=")
    if len(words) == 1 and value in options(key):  # which is built elsewhere
        return
    line = completed(words, photos)
    several = any(word.startswith(("hydra", "plan=")) for word in line) or SWEEP.search(" ".join(words))
    check(shlex.join(["python", "launch.py", *(["-m"] if several else []), *line]))


def test_what_is_collected() -> None:
    """Of each kind of text at least one."""
    shown = {word for parameter in DOCUMENTED for word in parameter.values[0]}
    assert {
        'optimizer.lr_factors={"h_a.*": 0.1}',
        "model=hpcm_large",
        "hydra/launcher=slurm",
        "spectral_reg.metric=l1",
    } <= shown
    assert 'optimizer.lr_factors={"g_a.*": 0.1}' in {parameter.values[0][-1] for parameter in EXAMPLES}
    assert all(yaml.safe_load(words.values[0][-1].partition("=")[2]) is not None for words in EXAMPLES)
