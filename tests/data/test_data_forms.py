"""Data sets as other tools write them: each loads by its path, with the same images and labels, or
is refused in one line that says what to do.
"""

import gzip
import pickle
import struct
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

import autocnn as ac

RNG = np.random.default_rng(8)
N, M = 40, 20  # training and test images
GREY = RNG.integers(0, 256, (N + M, 8, 8), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (N + M, 8, 8, 3), dtype=np.uint8)
LABELS = (np.arange(N + M) % 4).astype(np.uint8)


def idx_bytes(array):
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_idx(folder, images, labels, prefix="", zipped=False):
    folder.mkdir(exist_ok=True)
    rank = images.ndim
    for part, rows in (("train", slice(None, N)), ("test", slice(N, None))):
        for kind, array, code in (("images", images, f"idx{rank}"), ("labels", labels, "idx1")):
            name, content = f"{prefix}{part}-{kind}-{code}-ubyte", idx_bytes(array[rows])
            if zipped:
                (folder / f"{name}.gz").write_bytes(gzip.compress(content))
            else:
                (folder / name).write_bytes(content)
    return folder


def keras_npz(path):
    np.savez(
        path / "mnist.npz", x_train=GREY[:N], y_train=LABELS[:N], x_test=GREY[N:], y_test=LABELS[N:]
    )
    return path / "mnist.npz"


def medmnist_npz(path):
    parts = {"train": slice(None, N), "val": slice(N, N + 12), "test": slice(N + 12, None)}
    arrays = {f"{p}_images": COLOUR[rows] for p, rows in parts.items()}
    arrays |= {f"{p}_labels": LABELS[rows, None] for p, rows in parts.items()}
    np.savez_compressed(path / "pathmnist.npz", **arrays)
    return path / "pathmnist.npz"


def unnamed_npz(path):
    np.savez(path / "a.npz", GREY[:N] / 255, LABELS[:N], GREY[N:] / 255, LABELS[N:])
    return path / "a.npz"


def npy_pairs(path):
    for name, array in (
        ("X_train", GREY[:N]), ("y_train", LABELS[:N]), ("X_test", GREY[N:]), ("y_test", LABELS[N:])
    ):  # fmt: skip
        np.save(path / f"{name}.npy", array)
    return path


def kaggle_csv(path, rows=slice(None, N), header=True, last=False, index=False, name="train.csv"):
    pixels = [f"pixel{k}" for k in range(64)]
    lines = [",".join([*pixels, "label"] if last else ["label", *pixels])] if header else []
    for image, label in zip(GREY[rows], LABELS[rows], strict=True):
        cells = [str(v) for v in image.ravel()]
        lines.append(",".join([*cells, str(label)] if last else [str(label), *cells]))
    if index:
        lines = [f"{'' if k == 0 else k - 1},{line}" for k, line in enumerate(lines)]
    (path / name).write_text("\n".join(lines) + "\n")
    return path / name


def kaggle_folder(path):
    kaggle_csv(path)
    kaggle_csv(path, slice(N, None), name="test.csv")
    return path


def class_folders(path, parts=True):
    for k, (image, label) in enumerate(zip(COLOUR, LABELS, strict=True)):
        part = ("train" if k < N else "test") if parts else "."
        folder = path / "pets" / part / f"class {label}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{k:03}.png")
    return path / "pets"


def cifar10(path):
    rows = np.zeros((N + M, 3, 32, 32), np.uint8)
    rows[:, :, :8, :8] = COLOUR.transpose(0, 3, 1, 2)
    records = np.concatenate([LABELS[:, None], rows.reshape(N + M, -1)], axis=1)
    records[:25].tofile(path / "data_batch_1.bin")
    records[25:N].tofile(path / "data_batch_2.bin")
    records[N:].tofile(path / "test_batch.bin")
    (path / "batches.meta.txt").write_text("airplane\nautomobile\nbird\ncat\ndeer\n\n")
    return path


def cifar100(path):
    rows = RNG.integers(0, 256, (N + M, 3072), dtype=np.uint8)
    records = np.concatenate([LABELS[:, None] * 0 + 9, LABELS[:, None], rows], axis=1)
    records[:N].tofile(path / "train.bin")
    records[N:].tofile(path / "test.bin")
    (path / "fine_label_names.txt").write_text("apple\nbear\ncup\ndog\n")
    return path


def emnist(path):
    names = "".join(f"{k + 1} {65 + k} {97 + k}\n" for k in range(4))
    (path / "emnist-letters-mapping.txt").write_text(names)
    write_idx(path, GREY[::-1], LABELS, "emnist-digits-", zipped=True)
    write_idx(path, GREY.transpose(0, 2, 1).copy(), LABELS + 1, "emnist-letters-", zipped=True)
    return path / "emnist-letters-train-images-idx3-ubyte.gz"


def svhn(path):
    from scipy.io import savemat

    for part, rows in (("train", slice(None, N)), ("test", slice(N, None))):
        labels = np.where(LABELS[rows] == 0, 10, LABELS[rows])[:, None]
        savemat(path / f"{part}_32x32.mat", {"X": COLOUR[rows].transpose(1, 2, 3, 0), "y": labels})
    return path / "train_32x32.mat"


TEN = ["airplane", "automobile", "bird", "cat", "deer"]
PETS = [f"class {k}" for k in range(4)]
# {form: (what writes it, the shape of an image, the numbers of images, the classes)}
FORMS = {
    "Keras npz": (keras_npz, (1, 8, 8), (N, M, None), "0123"),
    "MedMNIST npz": (medmnist_npz, (3, 8, 8), (N, 12, 8), "0123"),
    "npz without names": (unnamed_npz, (1, 8, 8), (N, M, None), "0123"),
    "npy pairs": (npy_pairs, (1, 8, 8), (N, M, None), "0123"),
    "Kaggle csv": (kaggle_csv, (1, 8, 8), (32, 8, None), "0123"),
    "csv, label last": (lambda p: kaggle_csv(p, last=True), (1, 8, 8), (32, 8, None), "0123"),
    "csv, no header": (lambda p: kaggle_csv(p, header=False), (1, 8, 8), (32, 8, None), "0123"),
    "csv of pandas": (lambda p: kaggle_csv(p, index=True), (1, 8, 8), (32, 8, None), "0123"),
    "Kaggle folder": (kaggle_folder, (1, 8, 8), (N, M, None), "0123"),
    "ImageFolder": (class_folders, (3, 8, 8), (N, M, None), PETS),
    "class folders": (
        lambda p: class_folders(p, False), (3, 8, 8), (48, 12, None), PETS
    ),
    "CIFAR-10": (cifar10, (3, 32, 32), (N, M, None), TEN),
    "CIFAR-100": (cifar100, (3, 32, 32), (N, M, None), ["apple", "bear", "cup", "dog"]),
    "EMNIST": (emnist, (1, 8, 8), (N, M, None), "ABCD"),
    "colour IDX": (lambda p: write_idx(p, COLOUR, LABELS), (3, 8, 8), (N, M, None), "0123"),
    "SVHN": (svhn, (3, 8, 8), (N, M, None), "0123"),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_a_form_loads_by_its_path(tmp_path, form):
    write, shape, counts, classes = FORMS[form]
    data = ac.data.load(write(tmp_path))
    assert data.classes == tuple(classes) and data.x_train.shape[1:] == shape
    assert (len(data.x_train), len(data.x_val)) == counts[:2]
    assert (None if data.x_test is None else len(data.x_test)) == counts[2]
    assert data.x_train.dtype == np.float32 and data.y_train.dtype == np.int64
    assert ("held out" in repr(data)) == (counts[0] in (32, 48))
    if form not in ("CIFAR-10", "CIFAR-100"):
        images = {1: GREY[:, None], 3: COLOUR.transpose(0, 3, 1, 2)}[shape[0]]
        expected = {(image / 255).astype("f").tobytes(): label for image, label in
                    zip(images, LABELS, strict=True)}  # fmt: skip
        for x, y in ((data.x_train, data.y_train), (data.x_val, data.y_val)):
            assert [expected[image.tobytes()] for image in x] == y.tolist()


@pytest.mark.parametrize("form", ["Keras npz", "Kaggle folder", "ImageFolder", "colour IDX"])
def test_a_share_leaves_the_test_images_to_the_test(tmp_path, form):
    path = FORMS[form][0](tmp_path)
    data, usual = ac.data.load(path, validation=0.2), ac.data.load(path)
    assert (len(data.x_train), len(data.x_val), len(data.x_test)) == (32, 8, M)
    assert np.array_equal(data.x_test, usual.x_val) and np.array_equal(data.y_test, usual.y_val)
    assert np.bincount(data.y_val).tolist() == [2, 2, 2, 2]


def test_digits_hold_out_a_share_too():
    pytest.importorskip("sklearn")
    data = ac.data.load("digits", validation=0.1)
    assert len(data.x_test) == 355 and len(data.x_train) + len(data.x_val) == 1442


def test_a_csv_of_digits_that_reach_16(tmp_path):
    sixteen = (GREY[:N].reshape(N, 64) // 16) + (np.arange(64) == 5)
    table = np.column_stack([sixteen, LABELS[:N]])
    np.savetxt(tmp_path / "a.csv", table, fmt="%d", delimiter=";")
    data = ac.data.load(tmp_path / "a.csv", validation=0.3)
    assert data.x_train.max() == 1 and "divided by 16" in repr(data)
    wide = ac.data.load(tmp_path / "a.csv", size=(4, 16))
    assert wide.x_train.shape[1:] == (1, 4, 16)


def no_labels(path):
    lines = [",".join(f"pixel{k}" for k in range(64))]
    lines += [",".join(map(str, image.ravel())) for image in GREY]
    (path / "test.csv").write_text("\n".join(lines))
    return path / "test.csv"


def pickles(path):
    (path / "data_batch_1").write_bytes(pickle.dumps({b"data": 1}, 2))
    return path


def objects(path):
    np.savez(path / "a.npz", x_train=np.array([{}], object), y_train=LABELS)
    return path / "a.npz"


def file(path, name, content):
    (path / name).write_bytes(content)
    return path / name


def archive(path, kind):
    source = file(path, "a.png", b"x")
    if kind == "tar":
        with tarfile.open(path / "a.tar.gz", "w:gz") as out:
            out.add(source)
    else:
        with zipfile.ZipFile(path / "a.tar.gz", "w") as out:
            out.write(source)
    return path / "a.tar.gz"


def torch_file(path):
    torch = pytest.importorskip("torch")
    torch.save({"x": torch.zeros(2, 8, 8)}, path / "a.pt")
    return path / "a.pt"


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (no_labels, r"64 columns of pixels and no label"),
        (pickles, r"Python version, pickles, .* binary version from Alex Krizhevsky's page"),
        (lambda p: pickles(p) / "data_batch_1", "is a pickle, which can run code"),
        (objects, r"x_train in .* holds Python objects, which are not read"),
        (lambda p: archive(p, "tar"), "tar archive; unpack it first"),
        (lambda p: archive(p, "zip"), "zip archive; unpack it first"),
        (torch_file, "is a file of torch.save; save its arrays by numpy.savez"),
        (lambda p: file(p, "a.h5", b"\x89HDF\r\n"), "HDF5 file; save its arrays by numpy.savez"),
        (lambda p: file(p, "a.parquet", b"PAR1"), "Parquet"),
        (lambda p: file(p, "a.png", b"x"), "is one image; .* autocnn predict RUN IMAGE"),
        (lambda p: file(p, "a.bin", b""), "begins with nothing; a data set is a folder"),
        (lambda p: file(p, "a.npy", b"x").parent, "a.npy is damaged"),
        (lambda p: file(p, "a.npz", b"x").parent, "a.npz is damaged"),
        (lambda p: file(p, "a.mat", b"MATLAB 5.0"), "there is no train_32x32.mat"),
        (lambda p: file(p, "a.csv", b"a,b,c,d\n1,2,3\n"), "no label|every row needs"),
        (lambda p: file(p, "a.csv", b"file,label\nx.png,1\n"), "a data set is"),
        (lambda p: file(p, "a.csv", b"label,p0,p1,p2,p3\n1,2,x,3,4\n"), "x.*every row needs 4"),
        (lambda p: file(p, "train_1.txt", b"x").parent, r"holds 1 file \(.txt\); a data set is"),
        (lambda p: file(p, "1.png", b"x").parent, "holds 1 image files and 0 folders of images"),
        (lambda p: file(p, "data_batch_1.bin", b"x" * 3000).parent, "3000 bytes, no whole number"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_said_in_one_line(tmp_path, write, words):
    path = write(tmp_path)
    with pytest.raises(ValueError, match=words) as error:
        ac.data.load(path)
    assert "\n" not in str(error.value) and str(tmp_path) in str(error.value)


def test_options_of_other_forms_are_refused(tmp_path):
    path = keras_npz(tmp_path)
    for options in ({"size": 8}, {"grey": True}, {"transpose": True}):
        with pytest.raises(ValueError, match=f"{next(iter(options))} is not for data of this form"):
            ac.data.load(path, **options)
    with pytest.raises(ValueError, match="leave validation"):
        ac.data.load(medmnist_npz(tmp_path), validation=0.2)
    with pytest.raises(ValueError, match="leave size away"):
        ac.data.load("digits", size=8)


def test_several_sets_in_one_folder_are_named(tmp_path):
    emnist(tmp_path)
    with pytest.raises(ValueError, match=r"2 files for train-images.* name one of a set: .*emnist"):
        ac.data.load(tmp_path)
    data = ac.data.load(tmp_path / "emnist-digits-test-labels-idx1-ubyte.gz", transpose=False)
    assert np.allclose(data.x_train[:, 0], GREY[::-1][:N] / 255)


def test_what_does_not_fit_into_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("autocnn.data.parts.available", lambda: 5000)
    for path, words in (
        (class_folders(tmp_path), "images of 3x8x8 need .* MB of memory.*; pass a smaller size"),
        (keras_npz(tmp_path), "its arrays need"),
        (kaggle_csv(tmp_path), "its images need"),
    ):
        with pytest.raises(ValueError, match=words):
            ac.data.load(path)


def test_labels_that_do_not_begin_with_0_have_an_output_each(tmp_path):
    emnist(tmp_path)
    (tmp_path / "emnist-letters-mapping.txt").unlink()
    data = ac.data.load(tmp_path / "emnist-letters-train-images-idx3-ubyte.gz")
    assert data.classes == ("1", "2", "3", "4")
    assert np.array_equal(data.y_train, LABELS[:N])
