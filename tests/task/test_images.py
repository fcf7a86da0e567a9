"""Images: from folders, archives, arrays and tensors to the same raw inputs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ogive.errors import TaskError
from ogive.task import load, raw_inputs


def _bytes(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def _write(
    path: Path, height: int = 10, width: int = 12, mode: str = "RGB", seed: int = 0
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(_bytes(height, width, 3, seed=seed)).convert(mode).save(path)
    return path


def _folder(folder: Path, count: int = 10, **how: object) -> Path:
    for number in range(count):
        for label in ("cat", "dog"):
            _write(folder / label / f"{number}.png", seed=2 * number + (label == "dog"), **how)  # type: ignore[arg-type]
    return folder


def test_a_folder_with_a_subfolder_a_class(tmp_path: Path) -> None:
    task = load(_folder(tmp_path / "pets"))
    assert (task.name, task.kind, task.problem) == ("pets", "images", "classification")
    assert (task.shape, task.outputs, task.labels) == ((3, 10, 12), 2, ("cat", "dog"))
    assert (task.channels, task.height, task.width) == (3, 10, 12)
    inputs, targets = task.train.take()
    assert (inputs.dtype, targets.dtype) == (torch.uint8, torch.int64)


def test_grey_files_have_one_channel(tmp_path: Path) -> None:
    assert load(_folder(tmp_path, mode="L")).channels == 1
    _write(tmp_path / "cat" / "0.png")
    assert load(tmp_path).channels == 3


def test_mixed_sizes_become_the_median_and_large_ones_small(tmp_path: Path) -> None:
    folder = _folder(tmp_path, height=20, width=20)
    _write(folder / "cat" / "0.png", height=500, width=70)
    task = load(folder)
    assert task.shape == (3, 20, 20)
    assert any("20x20 to 500x70 pixels are resized to 20x20" in note for note in task.notes)
    assert load(folder, size=(8, 9)).shape == (3, 8, 9)
    assert load(_folder(tmp_path / "large", height=200, width=100)).shape == (3, 64, 32)


def test_splits_by_folder(tmp_path: Path) -> None:
    _folder(tmp_path / "train")
    _folder(tmp_path / "val", count=3)
    _folder(tmp_path / "test", count=4)
    task = load(tmp_path)
    assert [task.size(split) for split in ("train", "validation", "test")] == [20, 6, 8]


def test_a_test_folder_without_classes_is_left_out_and_said(tmp_path: Path) -> None:
    _folder(tmp_path / "train")
    _write(tmp_path / "test" / "1.png")
    task = load(tmp_path)
    assert task.size("test") == 4
    assert any("test/ has no subfolder" in note for note in task.notes)


def test_folders_named_like_numbers_are_classes(tmp_path: Path) -> None:
    for number, label in enumerate(("001", "1.5", "NA")):
        for each in range(5):
            _write(tmp_path / label / f"{each}.png", seed=10 * number + each)
    assert load(tmp_path).labels == ("001", "1.5", "NA")


def test_only_folders_that_are_no_data_are_no_classes(tmp_path: Path) -> None:
    for number, label in enumerate(("_none_", "cat", "__MACOSX", ".thumbnails")):
        for each in range(5):
            _write(tmp_path / label / f"{each}.png", seed=10 * number + each)
    assert load(tmp_path).labels == ("_none_", "cat")


@pytest.mark.parametrize("name", ["mnist_t10k", "cifar10_16x16_5k", "cifar10_32x32_512"])
def test_real_archives(data: Path, name: str) -> None:
    task = load(data / f"{name}.npz")
    assert task.outputs == 10
    with np.load(data / f"{name}.npz") as archive:
        pixels = archive["x_test"] if "x_test" in archive else archive["x"]
        if "class_names" in archive:
            assert task.labels == tuple(archive["class_names"])
    pixels = pixels[:, None] if pixels.ndim == 3 else pixels.transpose(0, 3, 1, 2)
    if "5k" in name:
        np.testing.assert_array_equal(task.unseal().inputs, pixels)
    np.testing.assert_array_equal(raw_inputs(task.preprocessing(), pixels[:5]), pixels[:5])


@pytest.mark.parametrize(
    "names",
    [
        ("images", "labels"),
        ("x", "y"),
        ("X", "y"),
        ("train_images", "train_labels"),
        ("x_train", "y_train"),
        ("data", "target"),
        ("arr_0", "arr_1"),
    ],
)
def test_archives_by_the_names_of_their_arrays(tmp_path: Path, names: tuple[str, str]) -> None:
    arrays = {names[0]: _bytes(30, 8, 8), names[1]: np.arange(30) % 3}
    np.savez(tmp_path / "a.npz", **arrays)
    assert load(tmp_path / "a.npz").key == load(arrays).key


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("class_names", ("cat", "dog")),
        ("label_names", ("cat", "dog")),
        ("target_names", ("cat", "dog")),
        ("feature_names", ("0", "1")),
        ("file_names", ("0", "1")),
    ],
)
def test_names_in_an_archive_are_of_classes_where_they_say_so(
    name: str, labels: tuple[str, ...]
) -> None:
    arrays = {"x": _bytes(30, 8, 8), "y": np.arange(30) % 2, name: np.array(["cat", "dog"])}
    assert load(arrays).labels == labels


def test_archives_with_splits_and_a_column_of_labels(tmp_path: Path) -> None:
    arrays = {}
    for seed, split in enumerate(("train", "val", "test")):
        arrays[f"{split}_images"] = _bytes(30, 8, 8, 3, seed=seed)
        arrays[f"{split}_labels"] = (np.arange(30) % 3)[:, None]
    np.savez(tmp_path / "medical.npz", **arrays)
    task = load(tmp_path / "medical.npz")
    assert [task.size(split) for split in ("train", "validation", "test")] == [30, 30, 30]


def test_all_layouts_and_ranges_give_the_same_raw_inputs() -> None:
    first = _bytes(30, 3, 8, 9)
    targets = np.arange(30) % 2
    last = first.transpose(0, 2, 3, 1)
    key = load((first, targets)).digest
    for images in (
        last,
        torch.from_numpy(first),
        last.astype(np.int64),
        last.astype(np.float64),
        last / 255,
        torch.from_numpy(first / 255).float(),
        list(last),
        [Image.fromarray(image) for image in last],
    ):
        task = load((images, targets))
        assert task.digest == key
        np.testing.assert_array_equal(raw_inputs(task.preprocessing(), images), first)


def test_arrays_of_mixed_sizes() -> None:
    images = [_bytes(8 + each % 3, 9, seed=each) for each in range(30)]
    assert load((images, np.arange(30) % 2)).shape == (1, 9, 9)


def test_images_of_many_channels() -> None:
    task = load((_bytes(30, 6, 9, 9), np.arange(30) % 2), size=5)
    assert task.shape == (6, 5, 5)


def test_targets_of_floats_are_a_quantity() -> None:
    task = load((_bytes(40, 8, 8), np.random.default_rng(0).random(40)))
    assert (task.problem, task.outputs, task.labels) == ("regression", 1, ())


def test_digits_are_spread_over_a_byte() -> None:
    task = load("digits")
    assert (task.shape, task.outputs) == ((1, 8, 8), 10)
    inputs = np.asarray(task.train.inputs)
    assert (inputs.dtype, inputs.min(), inputs.max()) == (np.uint8, 0, 255)


def test_a_file_predicts_as_it_trained(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "pets", height=20, width=30)
    _write(folder / "dog" / "1.jpg", height=300, width=400)
    preprocessing = json.loads(json.dumps(load(folder).preprocessing()))
    task = load(folder)
    files = sorted((folder / "cat").iterdir()) + sorted((folder / "dog").iterdir())
    raw = raw_inputs(preprocessing, files)
    together = np.concatenate(
        [part.inputs for part in (task.train, task.validation, task.unseal())]
    )
    assert sorted(map(bytes, raw)) == sorted(map(bytes, together))
    np.testing.assert_array_equal(raw_inputs(preprocessing, folder), raw)
    np.testing.assert_array_equal(raw_inputs(preprocessing, str(files[3])), raw[3:4])


def test_a_short_script_reads_files_likewise(tmp_path: Path) -> None:
    folder = _folder(tmp_path, height=200, width=100)
    _write(folder / "cat" / "photo.jpg", height=700, width=500)
    Image.fromarray(_bytes(50, 50, 4)).save(folder / "dog" / "transparent.png")
    (tmp_path / "preprocessing.json").write_text(json.dumps(load(folder).preprocessing()))

    how = json.loads((tmp_path / "preprocessing.json").read_text())["inputs"]
    size = how["width"], how["height"]
    mode = "L" if how["channels"] == 1 else "RGB"
    for path in (
        folder / "cat" / "photo.jpg",
        folder / "cat" / "1.png",
        folder / "dog" / "transparent.png",
    ):
        image = Image.open(path)
        image.draft(mode, (2 * max(size), 2 * max(size)))
        if image.has_transparency_data:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, how["background"]), image)
        image = image.convert(mode).resize(size, Image.Resampling.BILINEAR)
        raw = np.asarray(image).reshape(size[1], size[0], -1).transpose(2, 0, 1)[None]
        np.testing.assert_array_equal(raw, raw_inputs({"inputs": how}, path))


def test_files_of_many_sorts(tmp_path: Path) -> None:
    """Sixteen bits, palettes, transparency, and a photo that its camera held sideways."""
    folder = _folder(tmp_path, height=10, width=12)
    deep = np.full((10, 12), 40_000, np.uint16)
    Image.fromarray(deep).save(folder / "cat" / "deep.png")
    _write(folder / "cat" / "palette.gif", mode="P")
    Image.new("RGBA", (12, 10), (0, 0, 0, 0)).save(folder / "cat" / "clear.png")
    sideways = Image.new("RGB", (10, 12), "black")
    sideways.paste("white", (0, 0, 10, 6))
    exif = Image.Exif()
    exif[0x0112] = 6  # Turn clockwise by a quarter.
    sideways.save(folder / "cat" / "sideways.png", exif=exif)
    preprocessing = load(folder).preprocessing()
    assert (raw_inputs(preprocessing, folder / "cat" / "deep.png") == 40_000 >> 8).all()
    assert (raw_inputs(preprocessing, folder / "cat" / "clear.png") == 255).all()
    turned = raw_inputs(preprocessing, folder / "cat" / "sideways.png")
    assert (turned[..., :6] == 0).all()
    assert (turned[..., 6:] == 255).all()


def test_the_bits_that_16_bit_images_use_are_found(tmp_path: Path) -> None:
    deep = np.linspace(0, 4_095, 256).astype(np.uint16).reshape(16, 16)
    for number in range(20):
        path = tmp_path / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(deep - deep % (1 + number)).save(path)
    task = load(tmp_path)
    assert any("reach 4,095: 12 bits" in note for note in task.notes)
    preprocessing = task.preprocessing()
    raw = raw_inputs(preprocessing, tmp_path / "a" / "0.png")
    np.testing.assert_array_equal(raw[0, 0], deep >> 4)
    assert raw_inputs(preprocessing, Image.fromarray(2 * deep)).max() == 255
    assert raw_inputs(preprocessing, Image.fromarray(16 * deep))[0, 0, 8:].min() == 255


@pytest.mark.parametrize(
    ("mode", "channels"), [("1", 1), ("L", 1), ("LA", 1), ("P", 3), ("RGB", 3), ("RGBA", 3)]
)
def test_images_in_memory_are_read_as_their_files(
    tmp_path: Path, mode: str, channels: int
) -> None:
    images = [Image.fromarray(_bytes(9, 8, 3, seed=seed)).convert(mode) for seed in range(30)]
    task = load((images, np.arange(30) % 2))
    assert task.shape == (channels, 9, 8)
    images[0].save(tmp_path / "image.png")
    raw = raw_inputs(task.preprocessing(), images[0])
    np.testing.assert_array_equal(raw_inputs(task.preprocessing(), tmp_path / "image.png"), raw)


@pytest.mark.parametrize(
    ("trained", "given"),
    [
        (_bytes(20, 8, 8), _bytes(20, 8, 8) / 255),
        (_bytes(20, 8, 8) / 255, _bytes(20, 8, 8)),
        (_bytes(20, 8, 8) > 100, _bytes(20, 8, 8)),
        (_bytes(20, 8, 8), 20 * [Path("cat.png")]),
        (20 * [Image.new("L", (8, 8))], _bytes(20, 8, 8)),
    ],
)
def test_splits_of_different_forms_are_refused(trained: object, given: object) -> None:
    classes = np.arange(20) % 2
    with pytest.raises(TaskError, match=r"in one form, but those of training are .*Convert"):
        load((trained, classes), test=(given, classes))


def test_images_of_up_to_1_may_be_a_little_beyond() -> None:
    images, classes = _bytes(20, 8, 8) / 255, np.arange(20) % 2
    resized = np.where(images > 0.99, 1.0004, images)
    assert resized.max() > 1
    for trained, given in ((images, resized), (resized, images)):
        assert load((trained, classes), test=(given, classes)).shape == (1, 8, 8)


def test_splits_may_have_their_channels_first_or_last() -> None:
    images, classes = _bytes(20, 8, 9, 3), np.arange(20) % 2
    task = load((images, classes), test=(images.transpose(0, 3, 1, 2), classes))
    assert task.shape == (3, 8, 9)
    np.testing.assert_array_equal(task.unseal().inputs, images.transpose(0, 3, 1, 2))


@pytest.mark.parametrize("mode", ["I", "F"])
def test_images_of_an_unknown_range_are_refused(tmp_path: Path, mode: str) -> None:
    folder = _folder(tmp_path / "pets")
    preprocessing = load(folder).preprocessing()
    deep = Image.fromarray(_bytes(10, 12)).convert(mode)
    deep.save(folder / "cat" / "deep.tif")
    with pytest.raises(TaskError, match=rf"8 or 16 bits.*deep\.tif with 32 \(mode {mode}\).*Conv"):
        load(folder)
    with pytest.raises(TaskError, match=r"8 or 16 bits.*deep\.tif with 32"):
        raw_inputs(preprocessing, folder / "cat" / "deep.tif")
    with pytest.raises(TaskError, match=r"8 or 16 bits a channel, but Pillow opens one"):
        load(([deep] * 30, np.arange(30) % 2))


def test_portraits_that_were_held_sideways_stay_portraits(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for number in range(20):
        path = tmp_path / "ab"[number % 2] / f"{number}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(_bytes(30, 40, 3, seed=number)).save(path, exif=exif)
    assert load(tmp_path).shape == (3, 40, 30)


def test_a_file_for_a_network_of_four_channels_is_refused(tmp_path: Path) -> None:
    preprocessing = load((_bytes(30, 9, 9, 4), np.arange(30) % 2)).preprocessing()
    path = _write(tmp_path / "image.png")
    with pytest.raises(
        TaskError, match=r"grey or colour, but training had 4 channels\. Give arrays"
    ):
        raw_inputs(preprocessing, path)


def test_bytes_are_pixels_also_where_floats_were_trained_on() -> None:
    pixels = _bytes(30, 8, 8)
    preprocessing = load((pixels / 255, np.arange(30) % 2)).preprocessing()
    np.testing.assert_array_equal(raw_inputs(preprocessing, pixels)[:, 0], pixels)
    np.testing.assert_array_equal(raw_inputs(preprocessing, pixels / 255)[:, 0], pixels)
    masks = pixels // 128
    np.testing.assert_array_equal(raw_inputs(preprocessing, masks)[:, 0], 255 * masks)
    with pytest.raises(TaskError, match=r"0 to 1, as in training, but reach 2\d\d. Bring"):
        raw_inputs(preprocessing, pixels.astype(float))
    with pytest.raises(TaskError, match=r"0 to 16, as in training, but reach 2\d\d. Bring"):
        raw_inputs(load("digits").preprocessing(), pixels)


def test_prediction_from_other_images_than_trained_is_refused() -> None:
    preprocessing = load((_bytes(30, 8, 8, 3), np.arange(30) % 2)).preprocessing()
    with pytest.raises(TaskError, match=r"3 channels .* \(5, 8, 8\)"):
        raw_inputs(preprocessing, _bytes(5, 8, 8))
    with pytest.raises(TaskError, match=r"0 to 255, as in training.*Multiply them by 255"):
        raw_inputs(preprocessing, np.full((2, 8, 8, 3), 0.5))
    with pytest.raises(TaskError, match=r"something to predict"):
        raw_inputs(preprocessing, [])
    assert raw_inputs(preprocessing, _bytes(5, 16, 16, 3)).shape == (5, 3, 8, 8)
