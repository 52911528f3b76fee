"""Helps: sections, examples that can be run, versions, completion, colours."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from support.command_line import on_terminal

import fastdiff_dask
from fastdiff_dask.cli.commands import commands
from fastdiff_dask.cli.texts.help_texts import SECTIONS
from fastdiff_dask.testing import simulate_images


def help_of(*names: str) -> str:
    command, ctx = commands, click.Context(commands, info_name="fastdiff-dask")
    for name in names:
        command = command.commands[name]
        ctx = click.Context(command, parent=ctx, info_name=name)
    return command.get_help(ctx)


def test_each_command_has_a_section_and_a_line():
    text = help_of()
    placed = {name for lines in SECTIONS.values() for name in lines}
    assert set(commands.commands) <= placed
    for name in commands.commands:
        assert re.search(rf"^  {name} +\w.*[^.]$", text, re.M), name
    assert "..." not in text.partition("Find copies:")[2]


def test_the_exit_codes_are_told():
    text = help_of()
    assert re.search(r"^  Exit codes:\n    0    done\n    1 ", text, re.M)
    assert "NO_COLOR" in text


@pytest.mark.parametrize("name", sorted(commands.commands))
def test_each_example_has_options_that_there_are(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = help_of(name)
    examples = re.findall(r"fastdiff-dask ([^)\"\n]*)", text[text.index("\n  Examples:") :])
    assert examples
    for example in examples:
        first, *words = shlex.split(example)
        assert first == name
        ctx = click.Context(commands, info_name="fastdiff-dask")
        made = commands.commands[name].make_context(name, words, parent=ctx, resilient_parsing=True)
        assert not [word for word in made.args if word.startswith("-")], example


def test_versions(run):
    code, out, _ = run("--version")
    assert code == 0
    first, second, *others = out.splitlines()
    assert first == "fastdiff-dask, version 0.1.0"
    assert second.startswith(f"Python {sys.version.split()[0]} ")
    for name in ("numpy", "dask", "zarr", "Pillow"):
        assert any(re.fullmatch(rf"{name} \d+\.\d+.*", line) for line in others), name


def test_versions_of_extras_that_are_missing(run, monkeypatch):
    import importlib.metadata

    def version(name, known=importlib.metadata.version):
        if name == "ImageHash":
            raise importlib.metadata.PackageNotFoundError
        return known(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert "ImageHash (hashes)" in run("--version")[1].splitlines()[-1]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(run, shell):
    code, out, err = run("completion", shell)
    assert (code, err) == (0, "")
    assert "_FASTDIFF_DASK_COMPLETE" in out
    assert "fastdiff-dask" in out
    program = shutil.which(shell)
    if program is not None:
        assert subprocess.run([program, "-n", "/dev/stdin"], input=out, text=True).returncode == 0


@pytest.mark.parametrize(
    ("words", "found"),
    [("fastdiff-dask st", ["stores", "status"]), ("fastdiff-dask find --thresh", ["--threshold"])],
)
def test_what_the_shell_asks_for(words, found):
    environment = {
        "_FASTDIFF_DASK_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    code = "import sys; sys.argv = ['fastdiff-dask']; from fastdiff_dask.cli.commands import main; main()"
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True)
    assert set(found) <= {line.removeprefix("plain,") for line in done.stdout.split()}
    assert done.stderr == ""


def test_an_unknown_shell_is_a_mistake(run):
    code, _, err = run("completion", "tcsh")
    assert code == 2
    assert "'tcsh' is not one of 'bash', 'zsh', 'fish'" in err


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such terminals")
def test_without_colours(tmp_path):
    simulate_images(tmp_path / "photos", images=2, duplicates=1)
    (tmp_path / "sitecustomize.py").write_text(
        "import fastdiff_dask.outputs.progress_bar as bars, time\n"
        "import fastdiff_dask.project.job as job\n"
        "def slow(*arguments, do=job.collect_result, **options):\n"
        "    time.sleep(1)\n"
        "    return do(*arguments, **options)\n"
        "job.collect_result = slow\n"
        "bars._SHOWN_AFTER = 0.0\n"
    )
    path = os.pathsep.join([str(tmp_path), str(Path(fastdiff_dask.__file__).parents[1])])
    for wanted, environment in ((True, {}), (False, {"NO_COLOR": "1"})):
        out = on_terminal("find", tmp_path / "photos", "--no-verify", clean=False, PYTHONPATH=path, **environment)
        assert (re.search(r"\x1b\[[0-9;]*3[0-9]", out) is not None) == wanted
