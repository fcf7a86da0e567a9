"""The readings of a network function, and the blocks that networks are made of."""

from ogive.nn._blocks import (
    ACTIVATIONS,
    ConvBlock,
    ConvBNAct,
    Head,
    InvertedBottleneck,
    Residual,
    SeparableConv,
    SqueezeExcitation,
    batch_norm,
    conv,
    linear,
    nonlinearity,
)
from ogive.nn._build import build, decide
from ogive.nn._check import check, check_one
from ogive.nn._chooser import Chooser, NetworkFunction, annotate
from ogive.nn._inherit import Heir, inherit
from ogive.nn._largest import largest, largest_value
from ogive.nn._meta import Shapes
from ogive.nn._mix import Sum
from ogive.nn._narrow import WIDTHS, build_narrow, is_width
from ogive.nn._record import record
from ogive.nn._stack import Stack, why_not_stacked
from ogive.nn._supernet import Mixture, Route, Supernet, calibrate
from ogive.nn._tabular import (
    NORMALISATIONS,
    CategoryEmbedding,
    ColumnLinear,
    Columns,
    LinearBlock,
    NormAct,
    PeriodicEmbedding,
    PiecewiseLinearEmbedding,
    ResidualLinearBlock,
    normalisation,
)
from ogive.nn._threads import threads

__all__ = [
    "ACTIVATIONS",
    "NORMALISATIONS",
    "WIDTHS",
    "CategoryEmbedding",
    "Chooser",
    "ColumnLinear",
    "Columns",
    "ConvBNAct",
    "ConvBlock",
    "Head",
    "Heir",
    "InvertedBottleneck",
    "LinearBlock",
    "Mixture",
    "NetworkFunction",
    "NormAct",
    "PeriodicEmbedding",
    "PiecewiseLinearEmbedding",
    "Residual",
    "ResidualLinearBlock",
    "Route",
    "SeparableConv",
    "Shapes",
    "SqueezeExcitation",
    "Stack",
    "Sum",
    "Supernet",
    "annotate",
    "batch_norm",
    "build",
    "build_narrow",
    "calibrate",
    "check",
    "check_one",
    "conv",
    "decide",
    "inherit",
    "is_width",
    "largest",
    "largest_value",
    "linear",
    "nonlinearity",
    "normalisation",
    "record",
    "threads",
    "why_not_stacked",
]
