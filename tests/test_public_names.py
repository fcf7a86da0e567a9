"""What is public is what the doors say."""

import importlib
import math
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import ogive
from ogive._doors import when_used

SOURCE = Path(ogive.__file__).parent
PACKAGES = sorted(path.parent.name for path in SOURCE.glob("*/__init__.py"))
API = SOURCE.parents[1] / "docs" / "api.md"


def test_the_front_door_has_what_it_names_and_no_more():
    assert all(getattr(ogive, name) is not None for name in ogive.__all__)
    assert len(ogive.__all__) == len(set(ogive.__all__))
    assert set(ogive.__all__) <= set(dir(ogive))
    with pytest.raises(AttributeError, match="no_such_name"):
        ogive.no_such_name  # noqa: B018


def test_type_checkers_see_the_same_names():
    text = Path(ogive.__file__).read_text()
    named = text[text.index("if TYPE_CHECKING:") : text.index("__version__ =")]
    for name in set(ogive.__all__) - {"__version__"}:
        assert name in named, f"{name} is missing under TYPE_CHECKING"


def test_every_public_name_is_documented():
    text = API.read_text()
    for name in set(ogive.__all__) - {"__version__"}:
        assert f"`{name}`" in text, f"docs/api.md does not name {name}"


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_has_what_its_door_names(package):
    module = importlib.import_module(f"ogive.{package}")
    assert module.__doc__
    for name in module.__all__:
        assert hasattr(module, name), f"ogive.{package}.__all__ names {name}"
    assert len(module.__all__) == len(set(module.__all__))


def test_a_door_shows_what_is_behind_it(monkeypatch):
    door = ModuleType("door")
    monkeypatch.setitem(sys.modules, "door", door)
    door.__getattr__ = when_used("door", {"sqrt": "math", "root": "math:sqrt"})
    assert {"sqrt", "root"} <= set(dir(door))
    assert door.root is door.sqrt is math.sqrt
    assert {"root", "sqrt"} <= set(vars(door))
    with pytest.raises(AttributeError, match="'door' has no attribute 'cube'"):
        door.cube  # noqa: B018


def test_public_things_have_a_docstring():
    for package in PACKAGES:
        module = importlib.import_module(f"ogive.{package}")
        for name in module.__all__:
            thing = getattr(module, name)
            if callable(thing) and getattr(thing, "__module__", "").startswith("ogive"):
                assert thing.__doc__, f"ogive.{package}.{name} has no docstring"


def test_importing_ogive_is_quick_and_needs_no_torch():
    code = "import sys, ogive, ogive.cli; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
