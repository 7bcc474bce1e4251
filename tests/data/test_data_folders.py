"""Folders of image files: layouts, sizes, colours, orientation, and files that cannot be read."""

import numpy as np
import pytest
from PIL import Image, ImageOps

import autocnn as ac

RNG = np.random.default_rng(5)


def save(path, *shape, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(RNG.integers(0, 256, shape, dtype=np.uint8))
    image.save(path, **options)
    return np.asarray(image)


def fill(root, shape=(6, 6), classes=("cat", "dog"), count=5):
    return {
        path: save(path, *shape)
        for name in classes
        for path in (root / name / f"{k}.png" for k in range(count))
    }


def test_validation_and_test_folders_of_any_usual_name(tmp_path):
    for part, count in (("Training", 4), ("valid", 3), ("test", 2)):
        fill(tmp_path / "inner" / part, count=count)
    data = ac.data.from_folder(tmp_path)  # one folder around all, as archives leave it
    assert [len(x) for x in (data.x_train, data.x_val, data.x_test)] == [8, 6, 4]
    assert data.classes == ("cat", "dog") and data.y_test.tolist() == [0, 0, 1, 1]
    with pytest.raises(ValueError, match="has validation images of its own"):
        ac.data.from_folder(tmp_path, validation=0.2)


def test_images_keep_their_proportions_and_are_cut_in_the_middle(tmp_path):
    fill(tmp_path, (20, 60, 3), ("a",))
    big = fill(tmp_path, (40, 30, 3), ("b",))
    data = ac.data.from_folder(tmp_path, size=(16, 12), validation=0.2)
    assert data.x_train.shape[1:] == (3, 16, 12)
    assert "60x20 to 30x40 (width x height) were scaled to cover 12x16" in repr(data)
    exact = {
        np.asarray(ImageOps.fit(Image.fromarray(x), (12, 16), Image.Resampling.BILINEAR)).tobytes()
        for x in big.values()
    }
    both, labels = np.concatenate([data.x_train, data.x_val]), [*data.y_train, *data.y_val]
    found = [
        np.rint(x.transpose(1, 2, 0) * 255).astype("u1").tobytes() in exact
        for x, label in zip(both, labels, strict=True)
        if label == 1
    ]
    assert len(found) == 5 and all(found)
    assert ac.data.from_folder(tmp_path).x_train.shape[2:] == (20, 20)  # half are 20 high, or 30


def test_grey_is_recognised_asked_for_and_refused(tmp_path):
    for path, x in fill(tmp_path).items():  # grey images that are stored in colour
        Image.fromarray(np.stack([x] * 3, axis=2)).save(path)
    assert ac.data.from_folder(tmp_path).x_train.shape[1] == 1
    three = ac.data.from_folder(tmp_path, grey=False).x_train
    assert three.shape[1] == 3 and np.array_equal(three[:, 0], three[:, 2])
    save(tmp_path / "cat" / "9.png", 6, 6, 3)
    colour = ac.data.from_folder(tmp_path, validation=0.5)
    assert colour.x_train.shape[1] == colour.x_val.shape[1] == 3
    assert ac.data.from_folder(tmp_path, grey=True).x_train.shape[1] == 1


def test_exif_orientation_turns_images_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in "ab":
        for k in range(2):
            x = save(tmp_path / name / f"{k}.png", 4, 8, exif=exif)
    data = ac.data.from_folder(tmp_path, validation=0.5)
    assert data.x_train.shape[1:] == (1, 8, 4) and not data.notes[1:]
    images = np.concatenate([data.x_train, data.x_val])[:, 0]
    assert any(np.array_equal(np.rint(y * 255), np.rot90(x, -1)) for y in images)


def test_files_that_are_left_out_are_named_and_counted(tmp_path):
    fill(tmp_path / "train")
    (tmp_path / "train" / "cat" / "Thumbs.db").write_bytes(b"x")
    (tmp_path / "train" / "cat" / ".DS_Store").write_bytes(b"x")
    save(tmp_path / "train" / "loose.png", 6, 6)
    for name in ("broken.png", "empty.jpg"):
        (tmp_path / "train" / "dog" / name).write_bytes(b"\x89PNG\r\n" * (name[0] == "b"))
    with pytest.warns(ac.data.UnreadableImages, match=r"2 of 12 image files") as told:
        data = ac.data.from_folder(tmp_path)
    assert len(told) == 1 and told[0].filename == __file__
    assert all(name in str(told[0].message) for name in ("broken.png", "empty.jpg"))
    assert len(data.x_train) + len(data.x_val) == 10
    text = repr(data)
    assert "1 file is not an image and was left out:" in text and "Thumbs.db" in text
    assert "1 file is in no class folder" in text and "loose.png" in text


def test_sixteen_bits_are_said_to_be_rounded(tmp_path):
    for name in "ab":
        for k in range(2):
            (tmp_path / name).mkdir(exist_ok=True)
            Image.fromarray(np.full((4, 4), 40000, np.uint16)).save(tmp_path / name / f"{k}.png")
    data = ac.data.from_folder(tmp_path)
    assert "4 images of 16 bits were rounded to 8" in data.notes


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["a/1.png"], "0 image files and 1 folders of images; two or more classes"),
        (["1.png", "2.png"], "2 image files and 0 folders"),
        (["train/a/1.png", "train/b/1.png", "val/c/1.png"], "a class that .* does not have"),
    ],
)
def test_layouts_that_are_refused(tmp_path, names, words):
    for name in names:
        save(tmp_path / name, 4, 4)
    with pytest.raises(ValueError, match=words):
        ac.data.from_folder(tmp_path)
    with pytest.raises(ValueError, match="there is no folder"):
        ac.data.from_folder(tmp_path / "absent")


def test_the_order_is_that_of_the_names(tmp_path):
    written = fill(tmp_path / "train", count=3)
    fill(tmp_path / "val")
    x = ac.data.from_folder(tmp_path).x_train
    assert np.array_equal(np.rint(x[:, 0] * 255), np.stack([written[p] for p in sorted(written)]))


@pytest.mark.parametrize("name", ["class_to_idx.json", "labels.csv", "setid.mat", "README.md"])
def test_files_beside_class_folders_are_not_taken_for_the_data(tmp_path, name):
    fill(tmp_path)
    (tmp_path / name).write_text("x")
    assert ac.data.load(tmp_path).classes == ("cat", "dog")
