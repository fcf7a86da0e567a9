import io
import sys
from contextlib import redirect_stderr, redirect_stdout

import pytest

from ogive.cli import main


@pytest.fixture(scope="session")
def ogive():
    """Runs a command line in this process; returns the exit code and what was printed."""

    def run(*arguments):
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.setattr(sys, "argv", ["ogive", *map(str, arguments)])
            with pytest.raises(SystemExit) as caught:
                main()
        return caught.value.code or 0, out.getvalue(), err.getvalue()

    return run
