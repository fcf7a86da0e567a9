"""How a supernet is trained, and what its weights say of the architectures that share them."""

from ogive.oneshot._collapse import Watched
from ogive.oneshot._differentiable import RELAXATIONS, Found, Relaxation, search_by_gradient
from ogive.oneshot._enas import Derived, search_by_controller
from ogive.oneshot._inherited import Inherited, Statistics
from ogive.oneshot._paths import PATHS, Paths
from ogive.oneshot._supernet import train_supernet

__all__ = [
    "PATHS",
    "RELAXATIONS",
    "Derived",
    "Found",
    "Inherited",
    "Paths",
    "Relaxation",
    "Statistics",
    "Watched",
    "search_by_controller",
    "search_by_gradient",
    "train_supernet",
]
