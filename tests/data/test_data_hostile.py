"""Hostile and damaged data sets: read as they were, or refused in one printable line that names the
file, whatever the damage.
"""

import contextlib
import gzip
import io
import os
import pickle
import struct
import warnings
import zlib

import numpy as np
import pytest

import autocnn as ac
from autocnn.data.matlab import read_matlab
from autocnn.numpy_files import open_npz, read_npy
from benchmarks.robustness import fuzz_arrays, fuzz_data, fuzz_weights

X = np.random.default_rng(0).integers(0, 256, (12, 8, 8), dtype=np.uint8)
Y = np.arange(12) % 3


def refused(path, match, read=ac.data.load):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=match) as caught:
            read(path)
    assert str(caught.value).isprintable() and str(path.name) in str(caught.value)


def header(descr, shape):
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}"


@pytest.mark.parametrize(
    "text, says",
    [
        (header("'|u1'", "(1000000000000, 8, 8)"), "declares .* it holds 768 bytes"),
        (header("'|u1'", "(11, 8, 8)"), "declares"),  # less than there is, which nothing compared
        (header("'|u1'", "(-12, 8, -8)"), "declares"),
        (header("'|u1'", "(True, 768)"), "declares"),
        (header("'|u1'", "(" + "9" * 4000 + ", 1)"), "declares more"),
        (header("'<U0'", "(10000000000,)"), "neither numbers nor words"),
        (header("'|V0'", "(12, 8, 8)"), "neither numbers nor words"),
        (header("'|O'", "(96,)"), "Python objects"),
        (header("[('a', '|O')]", "(96,)"), "Python objects"),
        (header("'zz'", "(12, 8, 8)"), "header cannot be read"),
        ("-" * 5000 + "1", "header cannot be read"),
        ("[" * 4000, "header cannot be read"),
        ("'''", "header cannot be read"),
        (header("'|u1'", "(12, '8', 8)"), "header cannot be read"),
    ],
    ids=range(14),
)
def test_headers_of_arrays_that_lie(text, says, tmp_path):
    content = fuzz_arrays.npy(X, text)
    (tmp_path / "x.npy").write_bytes(content)
    refused(tmp_path / "x.npy", says, read_npy)
    members = {"x.npy": content, "y.npy": fuzz_arrays.npy(Y)}
    for packed in (False, True):
        (tmp_path / "d.npz").write_bytes(fuzz_arrays.npz(members, packed))
        refused(tmp_path / "d.npz", says)


def test_arrays_of_python_2_are_read_without_a_warning(tmp_path):
    text = header("'|u1'", "(12L, 8L, 8L)")
    (tmp_path / "x.npy").write_bytes(fuzz_arrays.npy(X, text))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(read_npy(tmp_path / "x.npy"), X)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["uint8", ">i4", "float16", "bool"])
def test_whole_arrays_are_read_as_numpy_reads_them(order, dtype, tmp_path):
    array = np.asarray(X.astype(dtype), order=order)
    np.save(tmp_path / "x.npy", array)
    np.savez_compressed(tmp_path / "d.npz", x=array, empty=array[:0], scalar=array[0, 0, 0])
    one = read_npy(tmp_path / "x.npy")
    assert one.dtype == array.dtype and np.array_equal(one, array) and one.flags.writeable
    with open_npz(tmp_path / "d.npz") as members:
        assert np.array_equal(members["x"].read(), array)
        assert members["empty"].read().shape == (0, 8, 8) and members["scalar"].read().shape == ()


@pytest.mark.parametrize("packed", [False, True])
def test_every_changed_byte_of_an_archive_is_seen(packed, tmp_path):
    """Its members have checksums, which numpy.load compares only where it reads to the end."""
    path = tmp_path / "d.npz"
    members = {"x.npy": fuzz_arrays.npy(X[:, :2, :2]), "y.npy": fuzz_arrays.npy(Y)}
    whole = fuzz_arrays.npz(members, packed)
    path.write_bytes(whole)
    before = fuzz_arrays.load(path)
    for at in range(0, len(whole), 3):
        content = bytearray(whole)
        content[at] ^= 1 << at % 8
        path.write_bytes(content)
        with contextlib.suppress(ValueError):
            assert fuzz_arrays.load(path) == before


@pytest.mark.parametrize("make", [fuzz_arrays.STORED, fuzz_arrays.PACKED])
def test_members_that_the_directory_of_an_archive_no_longer_lists(make, tmp_path):
    """The directory has no checksum, and without the test images a part is split off instead."""
    make(tmp_path)
    path = tmp_path / "d.npz"
    whole, before = path.read_bytes(), fuzz_arrays.load(path)
    for at in range(whole.index(b"PK\x01\x02"), len(whole)):
        for bit in (at % 8, (at + 3) % 8):
            content = bytearray(whole)
            content[at] ^= 1 << bit
            path.write_bytes(content)
            with contextlib.suppress(ValueError):
                assert fuzz_arrays.load(path) == before, f"bit {bit} of byte {at}"


@pytest.mark.parametrize(
    "members, says",
    [
        ({"x.npy": b"", "y.npy": b""}, "does not begin"),
        ({"x\n.npy": b"PK"}, r"x\\n"),
        ({"x.npy": fuzz_arrays.npy(X), "y.txt": b"1"}, "is not an array|zip archive"),
    ],
)
def test_members_that_are_no_arrays(members, says, tmp_path):
    (tmp_path / "d.npz").write_bytes(fuzz_arrays.npz(members, True))
    refused(tmp_path / "d.npz", says)


@pytest.mark.parametrize("label", [np.inf, -np.inf, 1e300, 2.0**60, np.nan])
def test_labels_that_no_integer_is(label):
    labels = np.where(np.arange(12) == 5, label, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match="labels must be integers or strings, got float64"):
            ac.data.from_arrays(X, labels)


def test_tables(tmp_path):
    rows = [",".join(map(str, [y, *x.ravel()[:16]])) for x, y in zip(X, Y, strict=True)]
    path = tmp_path / "d.csv"
    path.write_text("\n\n".join(rows))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # blank lines are none of NumPy's business
        assert len(ac.data.load(path).x_train) == 9
    path.write_text("\n".join(["1e300" + rows[0][1:], *rows[1:]]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "1e300" in ac.data.load(path).classes
    path.write_bytes(b"label\x1b[2J,a,b\n1,2,3\n")
    refused(path, "begins with|columns")
    (tmp_path / "train.csv").write_bytes(b"la\x1bbel;a;\tb\n1;2;3\n")
    path.unlink()
    refused(tmp_path, "has 3 columns, la.x1bbel")


def test_damaged_gzip_files(tmp_path):
    path = tmp_path / "train-images-idx3-ubyte.gz"
    content = gzip.compress(fuzz_data.idx_bytes(X), mtime=0)
    path.write_bytes(content[:10] + b"\x06" + content[11:])
    refused(path, "damaged gzip file")


@pytest.mark.parametrize("line", ["1 1114112", "1 99999999999999999999", "1 " + "9" * 5000])
def test_names_of_emnist_that_are_no_characters(line, tmp_path):
    fuzz_data._plain_emnist(tmp_path)
    (tmp_path / "emnist-letters-mapping.txt").write_text(line)
    assert ac.data.load(tmp_path).classes == ("1", "2", "3")


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dtype", ["uint8", "int32", "float64", "int64", "float32"])
def test_matlab_files_are_read_as_scipy_reads_them(dtype, packed, tmp_path):
    scipy_io = pytest.importorskip("scipy.io")
    path = tmp_path / "train_32x32.mat"
    values = {"other": "words", "X": X.transpose(1, 2, 0)[:, :, None].astype(dtype), "y": Y + 1.0}
    scipy_io.savemat(path, values, do_compression=packed)
    found, wanted = read_matlab(path, ("X", "y")), scipy_io.loadmat(path)
    assert set(found) == {"X", "y"}
    for name, array in found.items():
        assert array.dtype == wanted[name].dtype and np.array_equal(array, wanted[name])


@pytest.mark.parametrize(
    "value", ["words", [[1, "a"]], {"a": 1}, 1j * np.ones(3), np.array([1, "a"], object)]
)
def test_matlab_arrays_of_something_else(value, tmp_path):
    scipy_io = pytest.importorskip("scipy.io")
    path = tmp_path / "train_32x32.mat"
    scipy_io.savemat(path, {"X": value, "y": Y})
    refused(path, "not an array of real numbers|images must be numbers|is not")


@pytest.mark.parametrize("size", [3_000_000, 7, 0])
def test_matlab_elements_that_unpack_to_more(size, tmp_path):
    path = tmp_path / "train_32x32.mat"
    element = zlib.compress(struct.pack("<II", 14, 16) + bytes(size))
    path.write_bytes(fuzz_data.mat(True)[:128] + struct.pack("<II", 15, len(element)) + element)
    refused(path, "is damaged")


def test_every_changed_byte_of_a_packed_matlab_file_is_seen(tmp_path):
    path, whole = tmp_path / "train_32x32.mat", fuzz_data.mat(True)
    path.write_bytes(whole)
    before = read_matlab(path, ("X", "y"))
    for at in range(124, len(whole), 7):
        content = bytearray(whole)
        content[at] ^= 1 << at % 8
        path.write_bytes(content)
        with contextlib.suppress(ValueError):
            found = read_matlab(path, ("X", "y"))
            assert all(np.array_equal(found[name], before[name]) for name in ("X", "y"))


def test_a_folder_with_a_mat_file_of_something_else(tmp_path):
    (tmp_path / "z.mat").write_bytes(b"")
    refused(tmp_path, r"holds 1 file \(\.mat\); a data set is .* SVHN's train_32x32\.mat")


def test_pixels_that_do_not_match_the_checksum(tmp_path):
    from PIL import Image

    stored = io.BytesIO()
    Image.fromarray(X[0]).save(stored, "png", compress_level=0)
    content = bytearray(stored.getvalue())
    assert np.array_equal(ac.images.read(io_file(tmp_path, content)) * 255, X[0])
    content[content.index(b"IDAT") + 12] ^= 1  # a pixel
    refused(io_file(tmp_path, content), "checksum of its part IDAT", ac.images.read)


def io_file(folder, content):
    (folder / "a.png").write_bytes(content)
    return folder / "a.png"


@pytest.mark.parametrize("content", [b"P5 \x01 8 255\n", b"P6 8 r 255 ", b"P5 8\x1b 8 255\n"])
def test_images_whose_decoder_does_not_name_them(content, tmp_path):
    (tmp_path / "a.ppm").write_bytes(content + bytes(64))
    refused(tmp_path / "a.ppm", "damaged|cannot be read|is not an image", ac.images.read)


def test_a_pipe_is_not_waited_for(tmp_path):
    if not hasattr(os, "mkfifo"):
        pytest.skip("there are no named pipes here")
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "pipe", "neither a file nor a folder")


def test_folders_that_lead_into_themselves(tmp_path):
    fuzz_data._plain_folder(tmp_path)
    before = fuzz_arrays.load(tmp_path)
    (tmp_path / "pets" / "cat" / "again").symlink_to(tmp_path / "pets")
    assert fuzz_arrays.load(tmp_path) == before


def test_names_with_control_characters(tmp_path):
    for name in ("a\x1b[2J", "b\n"):
        (tmp_path / name).mkdir()
        for k in range(3):
            (tmp_path / name / f"{k}\n.png").write_bytes(fuzz_data.png(k) if k else b"")
    with pytest.warns(ac.data.UnreadableImages) as said:
        assert ac.data.load(tmp_path).classes == ("a\x1b[2J", "b\n")
    assert str(said[0].message).isprintable()


def test_pickles_are_never_run(tmp_path):
    for k in range(2):
        path = tmp_path / f"{k}.npz"
        hostile = fuzz_arrays.npy(np.array([fuzz_arrays.Trap()] * 12, object))
        path.write_bytes(fuzz_arrays.npz({"x.npy": hostile, "y.npy": hostile}, k % 2 == 0))
        refused(path, "Python objects")
        (tmp_path / "w.pth").write_bytes(pickle.dumps({"w": fuzz_arrays.Trap()}, 2))
        if fuzz_weights._has_torch():
            with pytest.raises(ValueError, match=r"w\.pth"):
                fuzz_weights.read_weights(tmp_path / "w.pth")
    assert not fuzz_arrays.TRAPS


@pytest.mark.parametrize("line", ["1," * 1_000_000, "1" * 5_000_000 + ",1,2,3,4"])
def test_tables_that_are_too_wide(line, tmp_path):
    """A line that is cut where its columns are counted must not be read as a shorter one."""
    (tmp_path / "d.csv").write_text(f"{line}\n{line}\n")
    refused(tmp_path / "d.csv", "more than 262,144 columns|begins with")
