"""The command line as a whole: which commands there are, what they load, and how they refuse."""

import json
import re

import pytest
from checkout import ROOT, copy_checkout
from commands import HEAVY, QUICK, finish, start

from lic_exp import exit_codes
from lic_exp.__main__ import main
from lic_exp.cli.commands import commands, find_command
from lic_exp.sweeps.create import sweep_request

HIDDEN = {"cell", "coder", "pool", "rank", "slurm-job"}
HELPERS = {"arguments", "coding", "commands", "flags", "starting", "sweeping", "version"}
NEW_COMMAND = """
SUMMARY = "greets"
DESCRIPTION = "Greets somebody."


def add_arguments(parser):
    parser.add_argument("name")


def run(options):
    print("hello", options.name)
    return 5
"""

# Runs each command line of argv[1] (JSON) and prints, as JSON, its exit code and what it has loaded by then.
PROBE = f"""
import json, sys
from lic_exp.__main__ import main
seen = []
for line in json.loads(sys.argv[1]):
    try:
        code = main(line)
    except SystemExit as end:
        code = end.code
    heavy = [name for name in {HEAVY!r} if name in sys.modules]
    ours = [name.removeprefix("lic_exp.cli.") for name in sys.modules if name.startswith("lic_exp.cli.")]
    seen.append([code or 0, heavy, ours])
print("PROBED", json.dumps(seen))
"""


def probe(*lines, folder):
    """[exit code, heavy modules, modules of the command line] after each of these, given to one process."""
    done = finish(start("-c", PROBE, json.dumps(lines), folder=folder))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.rpartition("PROBED ")[2])


def test_every_file_is_a_command_or_a_helper():
    files = {path.stem.replace("_", "-") for path in (ROOT / "lic_exp/cli").glob("[!_]*.py")}
    assert {command.name for command in commands()} == files - HELPERS
    assert {command.name for command in commands() if command.hidden} == HIDDEN


def test_without_a_command_every_command_is_listed(capsys):
    assert main([]) == exit_codes.DONE
    listed = capsys.readouterr().out
    assert main(["--help"]) == exit_codes.DONE
    assert capsys.readouterr().out == listed
    for command in commands():
        shown = re.search(rf"^ +{command.name}  +\w+", listed, flags=re.MULTILINE)
        assert bool(shown) != command.hidden


def test_a_misspelt_command(capsys):
    assert main(["shwo", "abc"]) == exit_codes.CONFIG
    said = capsys.readouterr().err
    assert said.startswith("there is no command shwo. Did you mean show? Commands: cancel, complexity, ")
    assert said.count("\n") == 1
    assert not HIDDEN & set(re.split(r"\W+", said))


@pytest.mark.parametrize("name", ["arguments", "slurm_job", "../ls", "ls.py", "__init__", "--nosuch", ""])
def test_what_is_no_command(name, capsys):
    assert find_command(name) is None
    assert main([name]) == exit_codes.CONFIG
    assert f"there is no command {name}." in capsys.readouterr().err


def test_a_new_command_is_one_file(tmp_path):
    copy = copy_checkout(tmp_path / "copy", "lic_exp", "conf")
    (copy / "lic_exp/cli/say_hello.py").write_text(NEW_COMMAND)

    def typed(*words):
        return finish(start("-m", "lic_exp", *words, folder=copy))

    greeted = typed("say-hello", "world")
    assert (greeted.returncode, greeted.stdout, greeted.stderr) == (5, "hello world\n", "")
    assert re.search(r"^  say-hello +greets$", typed().stdout, flags=re.MULTILINE)
    assert "usage: lic_exp say-hello [-h] name\n\nGreets somebody.\n" in typed("say-hello", "-h").stdout
    assert "Did you mean say-hello?" in typed("say-helo").stderr


def test_no_help_loads_anything_heavy(tmp_path):
    lines = [[command.name, "--help"] for command in commands()]
    for line, (code, heavy, _) in zip(lines, probe(*lines, folder=tmp_path), strict=True):
        assert (code, heavy) == (exit_codes.DONE, []), line


def test_a_command_loads_itself_alone_and_the_list_none(tmp_path):
    listing, ls, wait = probe([], ["ls", "--help"], ["wait", "--help"], folder=tmp_path)
    assert listing[2] == ["commands", "version"]
    assert sorted(ls[2]) == ["arguments", "commands", "ls", "version"]
    assert sorted(wait[2]) == ["arguments", "commands", "ls", "version", "wait"]


def test_what_needs_no_weights_loads_nothing_heavy(make_run, tmp_path):
    make_run("abcd")
    sweep_request([*QUICK, "seed=0,1"], several=True).write()
    lines = (
        *(["ls"], ["show", "abcd"], ["explain", "abcd"], ["status"], ["status", "--json"], ["logs"], ["cancel"]),
        *(["signature", "model=hyperprior"], ["gc", "--yes"], ["rm", "abcd", "--yes"]),
    )
    for line, (code, heavy, _) in zip(lines, probe(*lines, folder=tmp_path), strict=True):
        assert (code, heavy) == (exit_codes.DONE, []), line
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [".sweeps"]


@pytest.mark.parametrize(
    "words", ["show RUN", "eval RUN", "export RUN", "extend RUN trainer.max_steps=9", "rm RUN --yes"]
)
@pytest.mark.parametrize("run", ["nosuch", "/nosuch/run", "[x"])
def test_a_wrong_run_is_one_line_and_exit_code_2(make_run, words, run, capsys):
    make_run("abcd")
    assert main([word.replace("RUN", run) if word == "RUN" else word for word in words.split()]) == exit_codes.CONFIG
    assert capsys.readouterr().err == (f"there is no run {run} in runs, nor a run folder of that path. It has: abcd\n")


@pytest.mark.parametrize("command", ["ls", "gc"])
def test_a_wrong_folder_of_runs(command, tmp_path, capsys):
    assert main([command, "--runs", str(tmp_path / "nosuch")]) == exit_codes.CONFIG
    assert f"there is no folder {tmp_path}/nosuch" in capsys.readouterr().err


@pytest.mark.parametrize("line", [["show", "abcd"], ["rm", "abcd", "--yes"]])
def test_a_reader_that_leaves_gets_no_traceback(make_run, tmp_path, line):
    """One prints by rich, one without."""
    make_run("abcd")
    with start("-m", "lic_exp", *line, folder=tmp_path) as process:
        process.stdout.close()
        process.wait(timeout=60)
        assert process.stderr.read() == ""
