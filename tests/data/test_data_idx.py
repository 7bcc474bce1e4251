"""IDX files: what is written is read, and every kind of damage ends in one clear error and
little memory.
"""

import gzip
import hashlib
import math
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autocnn.data import idx

IMAGES = np.arange(5 * 3 * 4, dtype=np.uint8).reshape(5, 3, 4) * 4
LABELS = np.array([3, 1, 4, 1, 5], np.uint8)


def by_hand(array, code=8):
    """An IDX file as its definition says, written apart from the code under test."""
    return (
        bytes([0, 0, code, array.ndim])
        + b"".join(n.to_bytes(4, "big") for n in array.shape)
        + array.tobytes()
    )


def headed(*sizes, magic=b"\0\0\x08", held=b""):
    return magic + bytes([len(sizes)]) + struct.pack(f">{len(sizes)}I", *sizes) + held


def peak(call):
    """The most memory that Python and NumPy held at once during a call, in bytes, and the text
    of its ValueError.
    """
    tracemalloc.start()
    try:
        with pytest.raises(ValueError) as caught:
            call()
        return tracemalloc.get_traced_memory()[1], str(caught.value)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "array, kind", [(IMAGES, "images"), (LABELS, "labels"), (IMAGES[:1, ::-1, ::2], "images")]
)
def test_what_is_written_is_read(tmp_path, array, kind):
    path = tmp_path / "file"
    idx.write(path, array)
    assert path.read_bytes() == by_hand(array)
    assert idx.digest(array) == hashlib.sha256(by_hand(array)).hexdigest()
    zipped = tmp_path / "zipped"  # whatever the name says
    zipped.write_bytes(gzip.compress(by_hand(array)))
    for each in (path, zipped):
        got = idx.read(each, kind)
        assert got.dtype == np.uint8
        np.testing.assert_array_equal(got, array)
        assert idx.shape(each, kind) == array.shape


def test_only_unsigned_bytes_are_written(tmp_path):
    with pytest.raises(ValueError, match="holds uint8, got float64"):
        idx.write(tmp_path / "file", np.zeros((2, 2)))


def test_a_gzipped_file_in_two_members_is_one_file(tmp_path):
    path, whole = tmp_path / "file", by_hand(IMAGES)
    path.write_bytes(gzip.compress(whole[:30]) + gzip.compress(whole[30:]))
    np.testing.assert_array_equal(idx.read(path, "images"), IMAGES)


DAMAGED = {
    "empty": (b"", "not an IDX file: it is empty"),
    "an image": (b"\x89PNG\r\n\x1a\n" + bytes(50), "not an IDX file: it starts with 89 50 4e 47"),
    "a web page": (b"<html>not found</html>", "an IDX file of images starts with 00 00 08 03"),
    "cut in the magic": (b"\0\0\x08", "not an IDX file: it starts with 00 00 08"),
    "little-endian": (b"\x03\x08\0\0" + bytes(72), "not an IDX file: it starts with 03 08 00 00"),
    "unknown type": (
        headed(5, 3, 4, magic=b"\0\0\x0a", held=bytes(60)),
        "not an IDX file: it starts with 00 00 0a",
    ),
    "floats": (
        by_hand(IMAGES.astype(">f4"), code=0x0D),
        r"holds float32 \(type code 0x0d\); images must be unsigned",
    ),
    "labels": (
        by_hand(LABELS),
        r"array of 1 dimension \(looks like labels\); images need 3 \(count, height, width\)",
    ),
    "five dimensions": (by_hand(IMAGES[None, None]), r"array of 5 dimensions; images need 3"),
    "cut in the header": (
        by_hand(IMAGES)[:11],
        "truncated: the header needs 16 bytes, the file holds 11",
    ),
    "cut behind the header": (
        by_hand(IMAGES)[:16],
        "truncated: .* declares 5x3x4 = 60 bytes, it holds 0",
    ),
    "cut in the images": (
        by_hand(IMAGES)[:-1],
        "truncated: .* declares 5x3x4 = 60 bytes, it holds 59",
    ),
    "too long": (by_hand(IMAGES) + b"\0", "longer than declared: .* declares 5x3x4 = 60 bytes"),
    "no images": (headed(0, 3, 4), "holds no images: its header declares 0x3x4"),
    "no width": (headed(2**32 - 1, 2**32 - 1, 0), "holds no images"),
    "promises the sky": (headed(*[2**32 - 1] * 3, held=bytes(60)), "truncated: .* it holds 60"),
    "promises a wrap to 0": (headed(2**31, 2**31, 4, held=b""), "truncated: .* it holds 0"),
}


@pytest.mark.parametrize("zipped", [False, True], ids=["raw", "gzipped"])
@pytest.mark.parametrize("damage", DAMAGED)
def test_damage_is_named_and_allocates_nothing(tmp_path, damage, zipped):
    content, message = DAMAGED[damage]
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(gzip.compress(content) if zipped else content)
    memory, text = peak(lambda: idx.read(path, "images"))
    assert text.startswith(f"{path}: ")
    if zipped and "promises" in damage:
        message = "no gzip file of .* bytes can hold that"
    with pytest.raises(ValueError, match=message):
        idx.read(path, "images")
    assert memory < 500_000


def test_images_in_place_of_labels(tmp_path):
    path = tmp_path / "train-labels-idx1-ubyte"
    idx.write(path, IMAGES)
    with pytest.raises(
        ValueError, match=r"3 dimensions \(looks like images\); labels need 1 \(count\)"
    ):
        idx.read(path, "labels")
    with pytest.raises(ValueError, match="looks like images"):
        idx.shape(path, "labels")


def test_damaged_gzip_files(tmp_path):
    path, whole = tmp_path / "file.gz", gzip.compress(by_hand(IMAGES))
    wrong_checksum = whole[:-8] + bytes(4) + whole[-4:]
    for content in (whole[:5], whole[:-9], whole[:-1], whole + b"rest", wrong_checksum):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="damaged gzip file"):
            idx.read(path, "images")
    path.write_bytes(whole[:5])
    with pytest.raises(ValueError, match="damaged gzip file"):
        idx.shape(path, "images")


@pytest.mark.parametrize("promised", [60, 100 << 20])
def test_gzip_bombs(tmp_path, promised):
    squeeze = zlib.compressobj(1, wbits=31)
    content = squeeze.compress(headed(1, 1, promised))
    content += b"".join(squeeze.compress(bytes(1 << 20)) for _ in range(100)) + squeeze.flush()
    path = tmp_path / "bomb.gz"
    path.write_bytes(content)
    memory, text = peak(lambda: idx.read(path, "images"))
    assert memory < 1_000_000
    assert ("longer than declared" if promised == 60 else "implausible") in text


def test_a_promise_takes_no_memory_before_it_is_kept(tmp_path):
    path = tmp_path / "file.gz"
    path.write_bytes(
        gzip.compress(
            by_hand(np.random.default_rng(0).integers(0, 256, (1000, 28, 28), np.uint8))[:100_000]
        )
    )
    memory, text = peak(lambda: idx.read(path, "images"))
    assert memory < 500_000 and "truncated" in text


def test_blank_pictures_are_no_bomb(tmp_path):
    path, blank = tmp_path / "file.gz", np.zeros((5000, 28, 28), np.uint8)
    path.write_bytes(gzip.compress(by_hand(blank)))
    assert math.prod(blank.shape) > 100 * path.stat().st_size
    np.testing.assert_array_equal(idx.read(path, "images"), blank)


@pytest.mark.parametrize("zipped", [False, True], ids=["raw", "gzipped"])
def test_memory_is_the_size_of_the_array(tmp_path, zipped):
    array = np.random.default_rng(0).integers(0, 256, (4000, 28, 28), np.uint8)
    path = tmp_path / "file"
    path.write_bytes(gzip.compress(by_hand(array), 1) if zipped else by_hand(array))
    tracemalloc.start()
    got = idx.read(path, "images")
    memory = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(got, array)
    assert memory < array.nbytes + 1_500_000


def understood(content, kind):
    """The array of an IDX file's bytes by its definition, or None if they are none."""
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            return None
    rank = {"images": 3, "labels": 1}[kind]
    start = 4 + 4 * rank
    if len(content) < start or content[:4] != bytes([0, 0, 8, rank]):
        return None
    sizes = [int.from_bytes(content[i : i + 4], "big") for i in range(4, start, 4)]
    if math.prod(sizes) == 0 or len(content) - start != math.prod(sizes):
        return None
    return np.frombuffer(content, np.uint8, offset=start).reshape(sizes)


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(
    kind=st.sampled_from(["images", "labels"]),
    zipped=st.booleans(),
    changes=st.lists(st.tuples(st.integers(0, 90), st.integers(0, 255)), max_size=4),
    cut=st.integers(0, 100),
    added=st.binary(max_size=8),
)
def test_any_mutation_is_an_error_or_read_right(
    tmp_path_factory, kind, zipped, changes, cut, added
):
    content = by_hand(IMAGES if kind == "images" else LABELS)
    content = bytearray(gzip.compress(content) if zipped else content)
    for position, value in changes:
        content[position % len(content)] = value
    content = bytes(content[: len(content) - cut] if cut < 20 else content) + added
    path = tmp_path_factory.getbasetemp() / "mutated"
    path.write_bytes(content)
    expected = understood(content, kind)
    if expected is None:
        with pytest.raises(ValueError, match="mutated: "):
            idx.read(path, kind)
    else:
        np.testing.assert_array_equal(idx.read(path, kind), expected)
