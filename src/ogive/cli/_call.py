"""How a search was called, kept in its run folder; and the call itself.

What needs torch is reached through ``ogive``, whose names are imported when first used: a mistyped
option and ``--help`` answer at once.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir, contextmanager, nullcontext, redirect_stdout
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

import cloudpickle
from rich.console import Console

import ogive
from ogive.cli._exits import INTERRUPTED
from ogive.cli._print import output, print_json, print_summary
from ogive.errors import JournalError, OgiveError, SettingError, SpaceError, did_you_mean
from ogive.progress import Snapshot, View, live, plain

__all__ = ["Call", "run"]

if TYPE_CHECKING:
    from ogive.estimators import Fidelity

_FILE = "search.json"
_LISTS = ("maximize", "minimize", "fidelity")


@dataclass(frozen=True)
class Call:
    """The options of one ``ogive search``, and the directory that its paths start from."""

    data: str
    directory: str = "."
    target: str | None = None
    problem: str | None = None
    metric: str | None = None
    size: int | None = None
    validation: str | None = None
    test: str | None = None
    budget: str | None = None
    trials: int | None = None
    epochs: float | None = None
    limits: Mapping[str, float] = field(default_factory=dict)
    costs: Mapping[str, str] = field(default_factory=dict)
    maximize: tuple[str, ...] = ()
    minimize: tuple[str, ...] = ()
    space: str | None = None
    strategy: str = "auto"
    start_from: str | None = None
    stop_below: float | None = None
    fidelity: tuple[str, ...] = ()
    workers: int | None = None
    together: int = 1
    bundle: bool = True
    seed: int = 0

    def save(self, folder: Path) -> None:
        """Writes it down, in one step: a reader sees the old call or this one."""
        draft = folder / f"{_FILE}.{os.getpid()}"
        draft.write_text(json.dumps(asdict(self), indent=1))
        draft.replace(folder / _FILE)

    @classmethod
    def load(cls, folder: Path) -> Call:
        """Reads how the search in a run folder was called.

        Raises:
            JournalError: If there is none, or it cannot be read.
        """
        path = folder / _FILE
        try:
            data = json.loads(path.read_text())
            return cls(**{**data, **{n: tuple(data.get(n, ())) for n in _LISTS}})
        except FileNotFoundError:
            raise JournalError(
                f"A run folder of the command line holds a {_FILE}, but {folder} has none. Name "
                "the folder that ogive search wrote (--out, runs/<data> by default), or give the "
                "whole search command again."
            ) from None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise JournalError(
                f"A run folder holds a readable {_FILE}, but {path} is not: {error}. Give the "
                "whole search command again instead."
            ) from error


def run(call: Call, folder: Path, *, as_json: bool) -> None:
    """Runs a search, or goes on with it, and prints how it ended.

    Raises:
        OgiveError: With one message.
        SystemExit: With 130, if it was interrupted.
    """
    # A user's file may print, and with --json the output is for one object alone.
    aside = redirect_stdout(sys.stderr) if as_json else nullcontext()
    folder = folder.absolute()
    with aside, _in(Path(call.directory)), _view() as view:
        result = _search(call, folder, view)
    if as_json:
        print_json(result.summary)
    else:
        print_summary(result.summary, output())
    if result.status == "interrupted":
        sys.exit(INTERRUPTED)


@contextmanager
def _in(directory: Path) -> Iterator[None]:
    if not directory.is_dir():
        raise JournalError(
            f"A search goes on in the directory it was begun in, but {directory} does not exist. "
            "Give the whole search command again, where its paths hold."
        )
    with chdir(directory):
        yield


@contextmanager
def _view() -> Iterator[View]:
    console = Console(stderr=True)
    # Rich takes a pipe for a terminal where FORCE_COLOR is set, as continuous integration does.
    terminal = sys.stderr.isatty() and not console.is_dumb_terminal
    with live(console) if terminal else plain(sys.stderr) as view:
        yield view


def _search(call: Call, folder: Path, view: View) -> ogive.Result:
    begun = time.time()
    saved = False

    def show(snapshot: Snapshot) -> None:
        # The first snapshot tells that the journal has accepted the call. Not before: a call that
        # is refused must leave the one of the search that stands here.
        nonlocal saved
        if not saved:
            call.save(folder)
            saved = True
        view(snapshot)

    network = None if call.space is None else _function(call.space, "--space", SpaceError)
    task = ogive.load(
        call.data,
        target=call.target,
        problem=call.problem,  # type: ignore[arg-type]  # checked by the option
        metric=call.metric,
        size=call.size,
        validation=_share(call.validation),
        test=_share(call.test),
        seed=call.seed,
        cache=folder / "cache",
    )
    return ogive.search(
        network,
        task,
        budget=call.budget,
        trials=call.trials,
        epochs=call.epochs,
        limits=call.limits,
        costs={n: _function(where, "--cost", SettingError) for n, where in call.costs.items()},
        maximize=call.maximize or None,
        minimize=call.minimize,
        strategy=call.strategy,
        start_from=call.start_from or (),
        stop_below=call.stop_below,
        fidelity=cast("tuple[Fidelity, ...]", call.fidelity or ("epochs",)),
        workers=call.workers,
        together=call.together,
        bundle=call.bundle,
        seed=call.seed,
        out=folder,
        progress=show,
        begun=begun,
    )


def _share(text: str | None) -> float | str | None:
    """A share of the rows, or a path."""
    try:
        return None if text is None else float(text)
    except ValueError:
        return text


def _function(named: str, option: str, fault: type[OgiveError]) -> Callable[..., Any] | str:
    """A function of a file; or what is said where that names no function.

    Raises:
        SettingError: If there is no such file.
        OgiveError: ``fault``, if the file does not run, or has no such function.
    """
    path, colon, name = named.rpartition(":")
    if not colon:
        return named
    module = _module(Path(path), option, fault)
    functions = [n for n, value in vars(module).items() if callable(value)]
    if name not in functions:
        raise fault(
            f"{option} file.py:function names a function, but {path} has no {name!r}."
            f"{did_you_mean(name, functions)}"
        )
    function: Callable[..., Any] = getattr(module, name)
    return function


def _module(path: Path, option: str, fault: type[OgiveError]) -> ModuleType:
    if not path.is_file():
        raise SettingError(
            f"{option} file.py:function names a file, but {path} does not exist. Check the path."
        )
    path = path.resolve()
    name = f"ogive_file_{path.stem}"
    known = sys.modules.get(name)
    if known is not None and known.__file__ == str(path):
        return known  # A second function of the file knows the classes of the first.
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise SettingError(f"{option} names a Python file, but {path} is not one (.py).")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    # As in a script, what stands beside the file can be imported; workers inherit the path.
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise fault(
            f"A file with a function must import, but {path} raised "
            f"{type(error).__name__}: {error}."
        ) from error
    # Workers cannot import it by its name, so it goes to them whole.
    cloudpickle.register_pickle_by_value(module)
    return module
