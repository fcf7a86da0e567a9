"""ogive finds the best neural network for a dataset and a task, within the limits of a machine."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
