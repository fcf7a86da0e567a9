"""How rows are divided."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ogive.errors import SettingError, TaskError
from ogive.task import Task, load


def _table(rows: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, 4)), np.arange(rows) % classes


def _rows(task: Task) -> list[np.ndarray]:
    return [np.asarray(split.inputs) for split in (task.train, task.validation, task.unseal())]


@given(st.integers(12, 120), st.integers(2, 4), st.integers(0, 5))
def test_every_row_is_in_one_split_and_every_class_in_all(
    rows: int, classes: int, seed: int
) -> None:
    inputs, targets = _table(rows, classes)
    task = load((inputs, targets), seed=seed, problem="classification")
    together = np.concatenate(_rows(task))
    assert sorted(map(tuple, together)) == sorted(map(tuple, inputs.astype(np.float32)))
    for split in (task.train, task.validation, task.unseal()):
        assert set(split.targets) == set(range(classes))
    assert task.size("train") == len(task.train) >= task.size("validation")


def test_classes_keep_their_shares() -> None:
    inputs, _ = _table(1000, 2)
    targets = (np.arange(1000) >= 900).astype(int)
    task = load((inputs, targets))
    assert task.train.targets.mean() == pytest.approx(0.1, abs=0.005)
    assert task.validation.targets.mean() == pytest.approx(0.1, abs=0.005)
    assert [task.size(split) for split in ("train", "validation", "test")] == [600, 200, 200]


def test_a_seed_gives_one_division_and_another_seed_another() -> None:
    data = _table(60, 2)
    same, again, other = load(data, seed=1), load(data, seed=1), load(data, seed=2)
    assert same.key == again.key != other.key
    np.testing.assert_array_equal(same.train.inputs, again.train.inputs)
    assert not np.array_equal(same.unseal().inputs, other.unseal().inputs)


def test_the_key_knows_the_data() -> None:
    inputs, targets = _table(60, 2)
    changed = inputs.copy()
    changed[7, 2] += 1
    assert load((inputs, targets)).key != load((changed, targets)).key


def test_large_data_keeps_ten_thousand_for_a_test() -> None:
    inputs = np.arange(100_000, dtype=np.float32)[:, None]
    task = load((inputs, np.sin(inputs[:, 0])))
    assert (task.size("validation"), task.size("test")) == (10_000, 10_000)


def test_shares_can_be_given() -> None:
    task = load(_table(100, 2), validation=np.float32(0.1), test=0.3)
    assert (task.size("validation"), task.size("test")) == (10, 30)


@pytest.mark.parametrize("few", [3, 4])
def test_large_shares_leave_training_a_row_of_each_class(few: int) -> None:
    inputs, _ = _table(104, 2)
    targets = np.where(np.arange(104) < few, "rare", "usual")
    task = load((inputs, targets), validation=0.4, test=0.5)
    for split in (task.train, task.validation, task.unseal()):
        assert set(split.targets) == {0, 1}


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.9, None, 0.2), (2, 0.1), (-0.1, 0.1)])
def test_shares_that_leave_nothing_are_refused(shares: tuple[float, ...]) -> None:
    with pytest.raises(SettingError, match=r"Give"):
        load(_table(100, 2), validation=shares[0], test=shares[-1])


def test_splits_can_be_given_as_data() -> None:
    test = _table(30, 2, seed=9)
    task = load(_table(100, 2), test=test, validation=_table(20, 2, seed=8))
    assert [task.size(split) for split in ("train", "validation", "test")] == [100, 20, 30]
    np.testing.assert_array_equal(task.unseal().inputs, test[0].astype(np.float32))


def test_a_given_test_that_was_trained_on_is_said() -> None:
    inputs, targets = _table(100, 2)
    task = load((inputs, targets), test=(inputs[:30], targets[:30]))
    assert any("30 of the 30 test rows" in note for note in task.notes)


def test_copies_stay_in_one_split_and_are_counted() -> None:
    inputs, targets = _table(60, 2)
    task = load((np.tile(inputs, (2, 1)), np.tile(targets, 2)))
    found = [set(map(tuple, rows)) for rows in _rows(task)]
    assert not found[0] & found[1] | found[0] & found[2] | found[1] & found[2]
    assert any("60 of 120 rows are copies" in note for note in task.notes)


def test_repeated_observations_are_divided_one_by_one() -> None:
    inputs = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])[np.arange(400) % 4]
    task = load((inputs, np.arange(400) // 4 % 2))
    assert [task.size(split) for split in ("train", "validation", "test")] == [240, 80, 80]
    assert any("repeated" in note for note in task.notes)


def test_the_test_split_is_reached_only_by_unsealing() -> None:
    task = load(_table(100, 2))
    assert not hasattr(task, "test")
    assert len(task.unseal()) == 20


def test_a_split_is_taken_by_any_index() -> None:
    split = load(_table(100, 2)).train
    inputs, targets = split.take()
    assert inputs.is_contiguous()
    assert (inputs.shape, targets.dtype) == ((60, 4), torch.int64)
    for index in ([3, 1], np.array([3, 1]), torch.tensor([3, 1])):
        assert torch.equal(split.take(index)[0], inputs[[3, 1]])
    assert torch.equal(torch.cat([batch for batch, _ in split.batches(25)]), inputs)
    assert [len(targets) for _, targets in split.batches(25)] == [25, 25, 10]


def test_what_is_taken_may_be_written_to() -> None:
    split = load(_table(100, 2)).train
    inputs, targets = split.take()
    inputs.zero_()
    targets.zero_()
    assert split.take()[0].any()
    assert split.take()[1].any()


def test_splits_add_up_for_the_final_training() -> None:
    task = load(_table(100, 2))
    both = task.train + task.validation
    assert len(both) == 80
    np.testing.assert_array_equal(
        both.inputs, np.concatenate([task.train.inputs, task.validation.inputs])
    )
    with pytest.raises(ValueError, match=r"one task"):
        _ = task.train + load(_table(100, 2)).validation


def test_a_class_too_small_to_divide_is_named() -> None:
    inputs, targets = _table(60, 2)
    targets[0] = 2
    with pytest.raises(TaskError, match=r"at least 3 different rows .* class '2' has 1\. Add"):
        load((inputs, targets))


@given(st.integers(40, 200), st.integers(2, 5), st.integers(0, 5))
def test_a_part_is_nested_and_has_its_share_of_each_class(
    rows: int, classes: int, seed: int
) -> None:
    task = load(_table(rows, classes), problem="classification")
    split = task.train
    smaller, larger = (set(split.part(share, seed=seed)) for share in (0.3, 0.6))
    assert smaller < larger
    assert len(larger) == round(0.6 * len(split))
    for each in range(classes):
        count = sum(split.targets[row] == each for row in larger)
        assert abs(count - 0.6 * (split.targets == each).sum()) <= 1
    assert sorted(larger) == list(split.part(0.6, seed=seed))
    assert len(split.part(1e-9, seed=seed)) == 2


@given(st.integers(12, 120), st.integers(2, 4))
def test_each_class_has_half_of_its_rows_in_both_halves(rows: int, classes: int) -> None:
    inputs, targets = _table(rows, classes)  # where the classes take turns
    held_out = (inputs[:8], targets[:8])
    task = load((inputs, targets), problem="classification", validation=held_out, test=held_out)
    first, second = task.train.halves()
    counts = [np.bincount(half.targets, minlength=classes) for half in (first, second)]
    assert np.abs(counts[0] - counts[1]).max() <= 1
    assert len(first) - len(second) in (0, 1)
    together = np.concatenate([np.asarray(half.inputs) for half in (first, second)])
    assert sorted(map(bytes, together)) == sorted(map(bytes, np.asarray(task.train.inputs)))


def test_another_seed_draws_another_part() -> None:
    split = load(_table(200, 2), problem="classification").train
    assert set(split.part(0.5, seed=0)) != set(split.part(0.5, seed=1))
    values = load((_table(200, 2)[0], np.linspace(0, 1, 200)), problem="regression").train
    assert len(values.part(0.5)) == round(0.5 * len(values))
