"""Augmentation of a whole batch of images at once, each sample with draws of its own."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ogive.estimators._recipe import Recipe

__all__ = ["augment", "background", "mixup"]


def augment(images: Tensor, recipe: Recipe, rng: np.random.Generator, blank: Tensor) -> Tensor:
    """Applies what the recipe asks for to ``(batch, channels, height, width)``."""
    if recipe.shift or recipe.rotate or recipe.zoom or recipe.crop:
        images = move(images, recipe, rng, blank)
    elif recipe.flip:
        mirrored = torch.from_numpy(rng.random(len(images)) < 0.5).to(images.device)
        images = torch.where(mirrored[:, None, None, None], images.flip(-1), images)
    return cutout(images, recipe.cutout, rng, blank) if recipe.cutout else images


def mixup(
    inputs: Tensor, targets: Tensor, alpha: float, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Mixes each sample with another of the batch (Zhang et al. 2018, arXiv:1710.09412).

    Args:
        inputs: ``(batch, ...)``.
        targets: ``(batch, ...)``, floating point: values or shares of the classes.
        alpha: Of the Beta distribution of a sample's own share.
        rng: Every draw comes from it.
    """
    own = torch.from_numpy(rng.beta(alpha, alpha, len(inputs)).astype(np.float32))
    own = own.to(inputs.device)
    others = torch.from_numpy(rng.permutation(len(inputs))).to(inputs.device)

    def mixed(values: Tensor) -> Tensor:
        share = own.view(-1, *[1] * (values.dim() - 1))
        return share * values + (1 - share) * values[others]

    return mixed(inputs), mixed(targets)


def background(images: Tensor) -> Tensor:
    """The usual colour of the images' edge: what lies beyond it, for moves and blanks.

    Args:
        images: ``(batch, channels, height, width)``.

    Returns:
        ``(channels, 1, 1)``: black for white digits on black, white for scanned pages, about the
        mean colour for photographs.
    """
    sides = (images[..., 0, :], images[..., -1, :], images[..., 0], images[..., -1])
    edge = torch.cat([side.transpose(0, 1).flatten(1) for side in sides], dim=1)
    return edge.median(dim=1).values[:, None, None]


def move(images: Tensor, recipe: Recipe, rng: np.random.Generator, blank: Tensor) -> Tensor:
    """Flips, shifts, turns, zooms and crops in one resampling: one affine map a sample.

    Args:
        images: ``(batch, channels, height, width)``.
        recipe: The strengths.
        rng: Every draw comes from it.
        blank: ``(channels, 1, 1)``, what lies beyond the edge.
    """
    count, _, height, width = images.shape
    angle = np.radians(rng.uniform(-recipe.rotate, recipe.rotate, count))
    size = (1 + recipe.zoom) ** rng.uniform(-1, 1, count) / rng.uniform(1 - recipe.crop, 1, count)
    # The map takes the place of a pixel in the new image to its place in the old one, in
    # coordinates that run from -1 to 1; a crop of share s of the side may lie up to 1 - s away.
    room = np.maximum(0.0, 1 - 1 / size) * (recipe.crop > 0)
    x, y = rng.uniform(-1, 1, (2, count)) * (2 * recipe.shift + room)
    mirror = np.where(rng.random(count) < 0.5, -1.0, 1.0) if recipe.flip else np.ones(count)
    cos, sin = np.cos(angle) / size, np.sin(angle) / size
    ratio = height / width
    rows = [[mirror * cos, -sin * ratio, x], [mirror * sin / ratio, cos, y]]
    maps = torch.from_numpy(np.array(rows, np.float32).transpose(2, 0, 1).copy())
    grid = functional.affine_grid(maps.to(images.device), list(images.shape), align_corners=False)
    moved = functional.grid_sample(images - blank, grid, padding_mode="zeros", align_corners=False)
    return moved + blank


def cutout(images: Tensor, share: float, rng: np.random.Generator, blank: Tensor) -> Tensor:
    """Blanks a square of ``share`` of the side in each image (DeVries & Taylor 2017)."""
    count, _, height, width = images.shape
    hidden = []
    for length in (height, width):
        centre = rng.uniform(0, length, (count, 1))
        hidden.append(np.abs(np.arange(length) + 0.5 - centre) < share * length / 2)
    mask = torch.from_numpy(hidden[0][:, None, :, None] & hidden[1][:, None, None, :])
    return torch.where(mask.to(images.device), blank, images)
