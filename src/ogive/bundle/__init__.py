"""What is handed over: a network in every form, verified, with what is known of it."""

from ogive.bundle._bundle import Bundle, load
from ogive.bundle._export import TOLERANCE, check, deployed, write

__all__ = ["TOLERANCE", "Bundle", "check", "deployed", "load", "write"]
