"""Command lines that nobody would write: strategies for them, and what must hold of each.

They run in this process. Nothing is trained: what would begin a training or a pool is refused in its place, as a config
is, so that whatever was written before would be seen to lie around.
"""

import io
import os
import shutil
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import strategies as st
from made_runs import write_run
from PIL import Image

from lic_exp import exit_codes
from lic_exp.config.errors import ConfigError
from lic_exp.config.loading import load_config
from lic_exp.config.options import groups, options
from lic_exp.config.overrides import quoted
from lic_exp.flat import leaves

CODES = (exit_codes.DONE, exit_codes.FAILED, exit_codes.CONFIG, exit_codes.DIVERGED)
PROGRAMS = {"launch.py": "lic_exp.cli.launch", "lic_exp": "lic_exp.__main__", "analysis": "analysis.__main__"}
CONFIG = load_config(["model=hyperprior_tiny", "tracker=none", "evaluation.enabled=false"])
SIGNATURE = CONFIG.signature
"""Of the one run that there is; in command lines it is called RUN."""
WHOLE = "../whole"
"""The working folder as it is before each command line."""
NOT_STARTED = "would be started, but for this test"


class Said(NamedTuple):
    """What came of a command line: its exit code, or the traceback of what escaped, and all that it said."""

    code: int | str
    text: str


def said(program: str, arguments: Sequence[str]) -> Said:
    """Run a program's `main`, on streams that take UTF-8 and no surrogates, as a process's are."""
    main: Callable[[Sequence[str]], int] = import_module(PROGRAMS[program]).main
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    here, before = Path.cwd(), sys.argv
    sys.argv = [program, *arguments]
    code: int | str
    try:
        with redirect_stdout(out), redirect_stderr(err), warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.showwarning = _shown  # pytest's own keeps them
            code = main(list(arguments))
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else str(end.code)
    except BaseException:  # noqa: BLE001 (what escapes is what is looked for)
        code = traceback.format_exc()
    finally:
        sys.argv = before
        os.chdir(here)
    texts = []
    for stream in (out, err):
        stream.flush()
        texts.append(stream.buffer.getvalue().decode("utf-8"))
    return Said(code, "".join(texts))


def _shown(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
    sys.stderr.write(warnings.formatwarning(message, category, *where[:2]))


def complaints(program: str, arguments: Sequence[str]) -> list[str]:
    """What is wrong with how a program takes a command line; the working folder is left as it was."""
    before = _files()
    code, text = said(program, [word.replace("RUN", SIGNATURE) for word in arguments])
    after = _files()
    found = []
    if isinstance(code, str):
        found.append(f"escaped: {code}")
    elif code not in CODES:
        found.append(f"exit code {code}")
    if "Traceback (most recent call last)" in text or "HYDRA_FULL_ERROR" in text:
        found.append(f"a traceback: {text}")
    if codes := unprintable(text):
        found.append(f"obeyed by a terminal: {codes} in {text!r}")
    if code not in (exit_codes.DONE, exit_codes.CONFIG) and not text.strip():
        found.append("no word")
    if code == exit_codes.CONFIG:
        if not text.strip():
            found.append("refused without a word")
        if after != before:
            found.append(f"a refusal leaves {sorted(after ^ before)}")
    for path in sorted(after - before, reverse=True):
        shutil.rmtree(path, ignore_errors=True) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)
    if before - after:  # what the command was to remove
        shutil.copytree(WHOLE, ".", symlinks=True, dirs_exist_ok=True)
    return found


def unprintable(text: str) -> list[str]:
    """What of a text a terminal would obey, or show as nothing."""
    return sorted({char for char in text if not (char.isprintable() or char == "\n")})


def _files() -> set[str]:
    """Every path below the working folder, but for locks, and what analysis keeps to read runs faster."""
    found = (os.path.join(where, name) for where, folders, files in os.walk(".") for name in (*folders, *files))
    return {path for path in found if "/.analysis" not in path and not path.endswith("/.lock")}


def working_folder(patch: pytest.MonkeyPatch, here: Path) -> None:
    """Go to a folder that holds runs, images, weights and curves, and have nothing start from there."""
    deep = here / "a" / "b" / "c"  # so that `..` stays in the test's own folder
    deep.mkdir(parents=True)
    patch.chdir(deep)
    patch.setenv("HOME", str(here))
    patch.delenv("NO_SUCH_VARIABLE", raising=False)
    run = write_run(Path("runs", SIGNATURE), CONFIG, files=["best.pt", "step_00000200.pt"])
    (run / "metrics.jsonl").write_text('{"step": 4, "epoch": 0, "time": 1.0, "val/rd_loss": 1.5}\n')
    Path("images").mkdir()
    Image.new("RGB", (64, 64)).save("images/a.png")
    Path("weights.pt").write_bytes(b"PK\3\4 no weights")
    Path("curve.json").write_text('{"name": "c", "results": {"bpp": [0.1, 0.2, 0.4, 0.8], "psnr": [28, 30, 32, 34]}}')

    shutil.copytree(".", WHOLE)

    def refused(*arguments: object, **more: object) -> None:
        raise ConfigError([NOT_STARTED])

    for name in (
        *(
            "lic_exp.runs.attempt.execute",
            "lic_exp.runs.attempt.evaluate_only",
            "lic_exp.sweeps.create.SweepRequest.run",
        ),
        *("lic_exp.sweeps.control.run_sweep", "lic_exp.sweeps.search.GrowingSweep.grow"),
        "lic_exp.runs.machine.checks",
    ):
        patch.setattr(name, refused)


# What words are made of. Nothing begins at the root of the disk but what can only be read there.

TEXTS = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0/"), max_size=6) | st.text(
    st.sampled_from(
        "\x1b[]{}()'\"\\$,=:;+~@!?*#%&|<> \t\n\r\x07\x7f\x85\u200b\u2028\u202e\ufeff\udce9\udcffé中א😀-._0a1e"
    ),
    max_size=8,
)
ODD = st.sampled_from(
    (
        *(
            "",
            " ",
            "null",
            "true",
            "nan",
            "-nan",
            "inf",
            "-1",
            "0",
            "-0.0",
            "1e999",
            "1e-999",
            "9" * 400,
            "0x10",
            "1_000",
        ),
        *(str(2**31), str(2**63), str(2**64), "-" + "9" * 30, "1.5", "007", "None", "???", "''", '""', "[]", "{}"),
        *(
            "[" * 50 + "]" * 50,
            "[" * 400 + "]" * 400,
            "{a:" * 60 + "1" + "}" * 60,
            "[",
            "]",
            "{a",
            "(1,2)",
            "a,b",
            "1,2",
            ",",
            ",,",
        ),
        *(
            "${seed}",
            "${a",
            "${nope.no}",
            "${oc.env:HOME}",
            "${oc.env:NO_SUCH_VARIABLE}",
            "${oc.decode:'['}",
            "${seed:1}",
        ),
        *(
            "${hydra:runtime.cwd}",
            "${now:%Y}",
            "${.seed}",
            "${...seed}",
            "\\${x}",
            "$HOME",
            "$(id)",
            "`id`",
            "a;b",
            "a=b",
        ),
        *("choice(1,2)", "range(1,4)", "range(4,1)", "range(0,1,0)", "interval(0,1)", "interval(1,0)", "shuffle(1,2)"),
        *(
            "tag(x,1)",
            "glob(*)",
            "extend_list(1)",
            "int(a)",
            "float(nan)",
            "str(1)",
            "json_str(1)",
            "choice()",
            "sort(3,1)",
        ),
        *(
            "~/x",
            "../x",
            "./x",
            "runs",
            "images",
            "images/a.png",
            "weights.pt",
            "curve.json",
            "/proc/self/mem",
            "/dev/null",
        ),
        *(
            "/nowhere/x",
            "a" * 300,
            "x/" * 60,
            "[/b]",
            "[red]a[/red]",
            "[link=http://x]a",
            "\x1b[31mred",
            "\x1b]0;title\x07",
        ),
        *(
            "/é/中",
            "[/é/中]",
            "['/é/中']",
            "[~/x]",
            "C:\\x",
            "a\nb",
            "a\rb",
            "\u202egnp.a",
            "\udce9",
            "%s%n{0}",
            "os.system",
            "-h",
            "--",
        ),
    )
)
WORDS = ODD | TEXTS | st.builds("{}{}".format, ODD, TEXTS)
VALUES = WORDS | WORDS.map(quoted) | st.lists(WORDS, max_size=3).map(quoted) | st.builds("[{}]".format, WORDS)
KEYS = sorted(key for key, _ in leaves(load_config([]).plain()))
GROUPS = groups([])
HYDRAS = ("hydra.verbose", "hydra/launcher", "hydra/sweeper", "hydra.launcher.slots", "hydra.searchpath")
NEW = (
    "model.weights",
    "model.freeze",
    "init_from",
    "parent",
    "stages",
    "experiment",
    "variant",
    "scale",
    "plan",
    "debug",
)
NAMES = st.sampled_from((*KEYS, *GROUPS, *NEW)) | st.sampled_from(HYDRAS)


@st.composite
def near_misses(draw: st.DrawFn) -> str:
    """A key with a letter more, less or other."""
    name = draw(NAMES)
    at = draw(st.integers(0, len(name)))
    return name[:at] + draw(TEXTS) + name[at + draw(st.integers(0, 2)) :]


CHOSEN = [f"{group}={name}" for group in GROUPS for name in options(group, []) if group != "experiment"]
SET = [f"{key}={quoted(value)}" for key, value in leaves(load_config([]).plain()) if "_target_" not in key]
USUAL = st.sampled_from((*CHOSEN, *SET, "experiment=demo", "seed=0,1"))
"""What is right by itself: options of groups, and keys with the values that they have anyway."""
UNUSUAL = (
    st.builds("{}={}".format, NAMES, VALUES)
    | st.builds("{}{}={}".format, st.sampled_from(("", "+", "++", "~")), NAMES | near_misses() | TEXTS, VALUES)
    | WORDS
)
OVERRIDES = UNUSUAL | USUAL
SHOWING = (["--cfg", "job"], ["--cfg=job", "--resolve"], [], ["plan=true"], ["-m", "plan=true"], ["-m"])
FLAGS = (
    "--info",
    "--help",
    "--package=model",
    "--cfg=all",
    "--config-name=x",
    "--hydra-help",
    "plan=x",
    "--nope",
    "-x",
)
LINES = st.builds(
    lambda shown, usual, odd, flags: [*shown, *usual, *odd, *flags],
    st.sampled_from(SHOWING),
    st.lists(USUAL, max_size=2),
    st.lists(UNUSUAL, min_size=1, max_size=1) | st.lists(OVERRIDES, max_size=2),
    st.just([]) | st.just([]) | st.lists(st.sampled_from(FLAGS), min_size=1, max_size=1),
)


# Verbs, with what they take and what they do not.


def _mostly(usual: Sequence[str], odd: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """One of these in three cases of four."""
    some = st.sampled_from(usual)
    return st.one_of(some, some, some, odd.map(str))  # mapped, or every kind of odd ones would count as one


SWEEPS = ("status", "wait", "cancel", "retry", "logs")
PLACES = (
    st.sampled_from(("runs", "images", "weights.pt", "curve.json", "runs/nothing", ".", "..", "kodak/vtm_18.0")) | WORDS
)
RUNS = st.sampled_from(("RUN", "RUN", "RU", "runs/RUN")) | PLACES


def _flag(name: str, values: st.SearchStrategy[str] | None = None) -> st.SearchStrategy[list[str]]:
    """The flag, apart from its value or joined to it, or not at all."""
    if values is None:
        return st.sampled_from(([], [name]))
    return st.just([]) | values.map(lambda value: [name, value]) | values.map(lambda value: [f"{name}={value}"])


def _line(*parts: st.SearchStrategy[list[str]]) -> st.SearchStrategy[list[str]]:
    return st.tuples(*parts).map(lambda found: [word for part in found for word in part])


def _some(values: st.SearchStrategy[str], least: int = 0, most: int = 2) -> st.SearchStrategy[list[str]]:
    return st.lists(values, min_size=least, max_size=most)


_IN, _OVERRIDES, _NUMBERS = _flag("--runs", PLACES), _some(OVERRIDES), ODD | st.integers().map(str)
_STRAY = st.just([]) | _some(WORDS, 1, 1)
VERBS = st.one_of(
    *(_line(st.just([verb]), _some(RUNS), _IN, _STRAY) for verb in ("show", "explain", "sync", *SWEEPS)),
    _line(st.just(["ls"]), _IN, _flag("--state", WORDS | st.sampled_from(("done", "dead,done"))), _STRAY),
    _line(
        *(st.just(["eval"]), _some(RUNS, 0, 1), _IN, _flag("--data", PLACES), _flag("--out", PLACES)),
        *(_flag("--qualities", _NUMBERS), _flag("--target-bpp", _NUMBERS), _flag("--weights", PLACES)),
    ),
    _line(st.just(["export"]), _some(RUNS, 0, 1), _IN, _flag("--out", PLACES), _flag("--last")),
    _line(st.just(["extend"]), _some(RUNS, 1, 1), _OVERRIDES, _IN),
    _line(st.just(["rm"]), _some(RUNS), _IN, _flag("--yes")),
    _line(st.just(["gc"]), _IN, _flag("--dry-run"), _flag("--no-keep-last"), _flag("--yes")),
    _line(
        *(st.just(["verify"]), _some(PLACES, 0, 1), _flag("--model", WORDS | st.sampled_from(options("model", [])))),
        *(_flag("--data", PLACES), _flag("--published", WORDS), _flag("--device", WORDS), _flag("--out", PLACES)),
    ),
    _line(st.just(["complexity", "hyperprior_tiny"]), _OVERRIDES, _flag("--size", _NUMBERS | WORDS), _flag("--json")),
    _line(st.just(["complexity"]), _some(WORDS, 1, 2)),
    _line(st.just(["signature"]), _OVERRIDES),
    _line(st.just(["pretrained"]), _some(WORDS, 0, 1), _flag("--json")),
    _line(st.just(["status"]), _some(RUNS, 0, 1), _IN, _flag("--json"), _flag("--watch")),
    _line(st.just(["logs"]), _some(RUNS), _IN, _flag("-n", _NUMBERS), _flag("--follow")),
    _line(st.just(["wait"]), _some(RUNS, 0, 1), _IN, _flag("--timeout", _NUMBERS)),
    _line(st.just(["retry"]), _some(RUNS, 0, 1), _IN, _flag("--slots", _NUMBERS), _flag("--stale")),
    _line(_some(WORDS, 1, 3)),
)
CURVES = st.sampled_from(("curve.json", "kodak/vtm_18.0", "curve.json,kodak/vtm_18.0", "runs", "RUN")) | PLACES
_METRIC = _flag("--metric", st.sampled_from(("psnr", "ms-ssim", "val/rd_loss", "bpp")) | WORDS)
_OUT = _flag("--out", PLACES | st.sampled_from(("new.csv", "new.json", "new.png", "no/new.csv", "new", "new.txt")))
_SEEDS = _flag("-k", _NUMBERS)
ANALYSES = st.one_of(
    _line(
        st.just(["ablation"]), _some(st.sampled_from(("table2", "scale=mini", "study=1")) | WORDS), _OUT, _SEEDS, _IN
    ),
    _line(st.just(["bdrate"]), _some(CURVES, 1, 3), _METRIC, _OUT, _flag("--method", WORDS)),
    _line(st.just(["rd"]), _some(CURVES, 0, 3), _METRIC, _OUT, _flag("--list")),
    _line(st.just(["compare"]), _some(RUNS, 0, 3), _flag("--metrics", WORDS), _IN),
    _line(st.just(["complexity"]), _some(RUNS), _IN, _OUT),
    _line(
        *(st.just(["speedup"]), _flag("--baseline", RUNS), _flag("--test", RUNS), _SEEDS, _flag("--budgets"), _IN),
        *(_flag("--target", _NUMBERS | WORDS), _flag("--trust", WORDS)),
    ),
    _line(st.just(["sweep"]), _some(RUNS, 0, 1), _flag("--over", WORDS), _METRIC, _flag("--csv"), _IN),
    _line(_some(WORDS, 1, 3)),
)
