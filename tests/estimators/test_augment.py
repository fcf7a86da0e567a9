import numpy as np
import torch

from ogive.estimators import Recipe
from ogive.estimators._augment import augment, background, mixup

BLANK = torch.zeros(1, 1, 1)


def rng(seed=0):
    return np.random.default_rng(seed)


def test_nothing_is_changed_where_nothing_is_asked():
    images = torch.rand(4, 3, 9, 7)
    assert torch.equal(augment(images, Recipe(), rng(), torch.zeros(3, 1, 1)), images)


def test_about_half_of_the_images_are_mirrored():
    images = torch.rand(400, 1, 4, 4)
    found = augment(images, Recipe(flip=True), rng(), BLANK)
    same = (found == images).flatten(1).all(1)
    mirrored = (found == images.flip(-1)).flatten(1).all(1)
    assert bool((same | mirrored).all())
    assert 150 < int(mirrored.sum()) < 250


def test_a_shift_moves_no_further_than_it_may_and_differs_by_sample():
    images = torch.zeros(200, 1, 21, 21)
    images[:, :, 10, 10] = 1
    found = augment(images, Recipe(shift=0.2), rng(), BLANK)
    places = found.flatten(1).argmax(1)
    rows, columns = places // 21, places % 21
    assert int((rows - 10).abs().max()) <= 5
    assert int((columns - 10).abs().max()) <= 5
    assert len(set(places.tolist())) > 20


def test_a_rotation_keeps_the_centre_and_turns_the_rest():
    images = torch.zeros(100, 1, 21, 21)
    images[:, :, 10, :] = 1
    found = augment(images, Recipe(rotate=45.0), rng(), BLANK)
    assert bool((found[:, 0, 10, 10] > 0.9).all())
    assert float(found[:, 0, 10, 0].mean()) < 0.5


def test_what_lies_beyond_the_edge_has_the_colour_of_the_edge():
    images = torch.full((50, 2, 8, 8), 0.7)
    images[:, 1] = -0.3
    blank = background(images)
    assert torch.allclose(blank.flatten(), torch.tensor([0.7, -0.3]))
    moved = augment(images, Recipe(shift=0.5, rotate=90.0, zoom=0.5), rng(), blank)
    assert torch.allclose(moved, images, atol=1e-5)


def test_cutout_blanks_a_square():
    images = torch.ones(200, 1, 16, 16)
    hidden = (augment(images, Recipe(cutout=0.5), rng(), BLANK) == 0).flatten(1).sum(1)
    assert int(hidden.max()) == 64
    assert int(hidden.min()) >= 16  # At a corner a quarter of it is inside.


def test_mixup_mixes_targets_as_it_mixes_inputs():
    inputs = torch.arange(10.0)[:, None]
    mixed, targets = mixup(inputs, inputs[:, 0].clone(), 1.0, rng())
    assert torch.allclose(mixed[:, 0], targets)
    assert not torch.equal(mixed, inputs)


def test_draws_come_from_the_generator_only():
    images = torch.rand(8, 1, 12, 12)
    recipe = Recipe(shift=0.2, rotate=10.0, crop=0.3, cutout=0.3)
    first, again, other = (augment(images, recipe, rng(s), BLANK) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
