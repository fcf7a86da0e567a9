"""Exit codes, and the one place where an error becomes a message."""

from __future__ import annotations

import errno
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ogive.errors import (
    BudgetError,
    BundleError,
    JournalError,
    LimitError,
    MissingExtra,
    OgiveError,
    SettingError,
    SpaceError,
    TaskError,
    TrialFailed,
)

__all__ = ["EPILOG", "EXITS", "INTERRUPTED", "exit_code", "guarded"]

EXITS = {
    0: "done",
    1: "an unexpected error",
    2: "a wrong option, or an optional package missing",
    3: "data that cannot be used",
    4: "a search space that is wrong",
    5: "limits that cannot be met",
    6: "a budget that is too short",
    7: "a run folder, journal or disk that cannot be used",
    8: "a network that cannot be exported, or whose export does not agree with it",
    9: "no trial completed",
    130: "interrupted",
}

EPILOG = f"Exit codes: {', '.join(f'{code} {what}' for code, what in EXITS.items())}."

INTERRUPTED = 130

_CODES: tuple[tuple[type[BaseException], int], ...] = (
    (SettingError, 2),
    (MissingExtra, 2),
    (TaskError, 3),
    (SpaceError, 4),
    (LimitError, 5),
    (BudgetError, 6),
    (JournalError, 7),
    (BundleError, 8),
    (TrialFailed, 9),
    (OgiveError, 1),
    (OSError, 7),
)


def exit_code(error: BaseException) -> int:
    """Returns the documented code of an error."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), 1)


@contextmanager
def guarded() -> Iterator[None]:
    """Turns what is raised inside into one message on the error output, and exits."""
    try:
        yield
    except KeyboardInterrupt:
        _say("stopped. Give the same command again to go on.")
        sys.exit(INTERRUPTED)
    except OgiveError as error:
        _debug()
        _say(f"error: {error}")
        sys.exit(exit_code(error))
    except BrokenPipeError:
        # The reader of our output has left (as in `ogive show RUN | head`); that is no fault.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        _debug()
        _say(f"error: {_refused(error)}")
        sys.exit(exit_code(error))
    except Exception as error:  # noqa: BLE001  # the last resort
        _debug()
        path = Path(tempfile.gettempdir()) / f"ogive-error-{os.getpid()}.txt"
        path.write_text(traceback.format_exc())
        _say(
            f"error: This is a fault of ogive's own: {type(error).__name__}: {error}. "
            f"The details are in {path}; please report them."
        )
        sys.exit(1)


_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_MISSING = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR})


def _refused(error: OSError) -> str:
    """The rule, the value and the cure for what the operating system refuses."""
    where = error.filename or "one of them"
    if error.errno in _FULL:
        cure = "Free some space and give the same command again; what was written stands."
    elif error.errno in _MISSING:
        cure = "Check the path."
    else:
        cure = "Change who may write there, or choose another folder with --out."
    return (
        f"Files must be readable and writable, but {where} is not: "
        f"{error.strerror or error}. {cure}"
    )


def _debug() -> None:
    if os.environ.get("OGIVE_DEBUG"):
        traceback.print_exc()


def _say(message: str) -> None:
    print(message, file=sys.stderr)
