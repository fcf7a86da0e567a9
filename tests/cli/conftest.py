import sys

import pytest

from ogive.cli import main


@pytest.fixture
def ogive(monkeypatch, capsys):
    """Runs a command line in this process; returns the exit code and what was printed."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["ogive", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        printed = capsys.readouterr()
        return caught.value.code or 0, printed.out, printed.err

    return run
