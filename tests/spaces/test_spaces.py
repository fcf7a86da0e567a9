"""The ready-made spaces by name, and what recording them may cost."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from ogive.errors import SettingError
from ogive.spaces import SPACES, by_name, convnet, default, mlp
from ogive.task import load


def test_spaces_go_by_the_names_of_their_functions() -> None:
    assert {name: function.__name__ for name, function in SPACES.items()} == {
        name: name for name in SPACES
    }
    assert by_name("convnet") is convnet
    with pytest.raises(SettingError, match=r"'convnets'.*Did you mean 'convnet'"):
        by_name("convnets")


def test_the_default_follows_from_the_data() -> None:
    rng = np.random.default_rng(0)
    targets = np.arange(60) % 3
    assert default(load((rng.integers(0, 256, (60, 8, 8), dtype=np.uint8), targets))) is convnet
    assert default(load((rng.normal(size=(60, 4)), targets))) is mlp


_RECORDED_WITHOUT = """
import sys
import numpy as np
from ogive.nn import record
from ogive.spaces import default
from ogive.task import load
rng = np.random.default_rng(0)
for inputs in (rng.integers(0, 256, (60, 8, 8), dtype=np.uint8), rng.normal(size=(60, 4))):
    task = load((inputs, np.arange(60) % 3))
    record(default(task), task)
print("torch._dynamo" in sys.modules)
"""


def test_recording_does_not_import_the_compiler() -> None:
    """Some initialisations do on the meta device, and take longer than all the rest of it."""
    command = [sys.executable, "-c", _RECORDED_WITHOUT]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
