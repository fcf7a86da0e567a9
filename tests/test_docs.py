"""Everything shown is run."""

import functools
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

import ogive
import ogive.testing  # pytester forgets what pages import first; numpy loads only once
from ogive.cli import app
from ogive.cli._exits import EXITS

pytest_plugins = "pytester"

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.timeout(300)  # whole searches, also on a machine that is busy
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
BY_ITSELF = ROOT / "examples" / "04_own_estimator.py"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a script in this process, which has imported already what each of them would.

    What does not look at its bundle need not export one: that takes longer than the search.
    """

    def run(code):
        monkeypatch.chdir(tmp_path)
        if "bundle" not in code:
            monkeypatch.setattr(ogive, "search", functools.partial(ogive.search, bundle=False))
        script = tmp_path / "script.py"
        script.write_text(code)
        runpy.run_path(str(script), run_name="__main__")

    return run


def blocks(page):
    return re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)


@pytest.mark.slow
def test_an_example_runs_in_a_process_of_its_own(tmp_path):
    """As a user's script does, without ``if __name__ == "__main__"``."""
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:ogive", BY_ITSELF],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in PAGES if blocks(page)], ids=lambda page: page.name
)
def test_the_python_of_a_page_runs_from_top_to_bottom(page, run):
    run("\n".join(blocks(page)))


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if "class Test" in page.read_text()],
    ids=lambda page: page.name,
)
def test_the_tests_of_a_page_pass(page, pytester):
    pytester.makepyfile("\n".join(blocks(page)))
    assert pytester.runpytest_inprocess().ret == pytest.ExitCode.OK


@pytest.mark.slow
@pytest.mark.parametrize(
    "example", [each for each in EXAMPLES if each != BY_ITSELF], ids=lambda example: example.name
)
def test_examples_run(example, run, capsys):
    run(example.read_text())
    assert capsys.readouterr().out


def commands():
    for page in PAGES:
        for line in re.findall(r"^ {4}(ogive .*)$", page.read_text(), re.MULTILINE):
            if "[" not in line and "…" not in line:
                yield pytest.param(line, id=f"{page.name}: {line[:40]}")


@pytest.mark.parametrize("line", list(commands()))
def test_commands_shown_are_commands(line):
    group = typer.main.get_command(app)
    name, *arguments = shlex.split(line)[1:]
    command = group.get_command(None, name)
    command.make_context(name, arguments, resilient_parsing=False)


def options_of(command):
    context = typer.Context(command)
    return {
        option
        for parameter in command.get_params(context)
        for option in parameter.opts
        if option.startswith("--") and option != "--help"
    }


def test_the_page_of_the_command_line_has_all_commands_and_their_options():
    usage = (ROOT / "docs" / "cli.md").read_text().split("\n\n")[1].replace("\n" + " " * 20, " ")
    shown = {line.split()[1]: line for line in usage.splitlines()}
    group = typer.main.get_command(app)
    assert set(shown) == set(group.list_commands(typer.Context(group)))
    for name, line in shown.items():
        command = group.get_command(typer.Context(group), name)
        assert set(re.findall(r"--[\w-]+", line)) == options_of(command), name


def test_the_page_of_the_command_line_has_all_exit_codes():
    rows = re.findall(r"^\| (\d+) \|", (ROOT / "docs" / "cli.md").read_text(), re.MULTILINE)
    assert list(map(int, rows)) == list(EXITS)


def test_links_lead_somewhere():
    for page in PAGES:
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert link.startswith("https://") or (page.parent / link).exists(), (page.name, link)


def test_nothing_is_left_to_fill_in():
    for page in PAGES:
        assert not re.findall(r"^(?:[A-Z]{5,}|TODO.*)$", page.read_text(), re.MULTILINE), page.name


def test_first_code_stands_by_line_30_of_the_readme():
    lines = (ROOT / "README.md").read_text().splitlines()
    assert any(line.startswith(("```python", "    ogive ")) for line in lines[:30])
