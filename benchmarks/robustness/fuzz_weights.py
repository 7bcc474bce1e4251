"""Hostile weights, calibrations, estimators and images, for the fuzzer."""

import functools
import io
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from autocnn import checkpoint, images, models
from autocnn.runs import calibration
from autocnn.trees import leaves
from benchmarks.robustness.fuzz_arrays import DAMAGE_ROOM, Attack, Trap, hostile_array, npy, npz
from benchmarks.robustness.fuzz_data import giant
from benchmarks.robustness.mutate import dumped, mutated, mutated_json

__all__ = ["ATTACKS"]

SHAPE = (1, 8, 8)


def print_of(*trees: Any) -> list[tuple]:
    return [(name, a.shape, a.dtype.str, a.tobytes()) for tree in trees for name, a in leaves(tree)]


# ------------------------------------------------------------------- weights


@functools.cache
def tensors() -> dict[str, np.ndarray]:
    """A network's weights by the paths of their leaves."""
    _, params, state = models.tiny_cnn().init(3, SHAPE, "float32")
    return {name: np.array(a) for name, a in leaves({"params": params, "state": state})}


@functools.cache
def stored_weights(kind: str) -> bytes:
    if kind == "npz":
        return npz({f"{name}.npy": npy(a) for name, a in tensors().items()}, True)
    if kind == "safetensors":
        from safetensors.numpy import save

        return save(tensors())
    if kind == "pth":
        import torch

        stored = io.BytesIO()
        torch.save({name: torch.tensor(a) for name, a in tensors().items()}, stored)
        return stored.getvalue()
    raise AssertionError(kind)


def read_weights(path: Path) -> list[tuple]:
    found = checkpoint.load_weights(path, models.tiny_cnn(), SHAPE)
    return print_of(found.params, found.state)


def attack_weights(folder: Path, chance: Any) -> Attack:
    kinds = ["npz", "safetensors"] + ["pth"] * _has_torch()
    kind, same = chance.choice(kinds), None
    content = stored_weights(kind)
    path = folder / f"w.{kind}"
    if chance.random() < 0.7 or kind == "safetensors":
        content = mutated(content, chance)
        if kind != "safetensors":  # a zip archive, which has sums
            same = lambda found: found == _weights_before(folder)  # noqa: E731
    elif kind == "npz":
        files = {f"{name}.npy": npy(a) for name, a in tensors().items()}
        name = chance.choice([*files])
        files[name] = hostile_array(tensors()[name[:-4]], chance)
        content = npz(files, chance.random() < 0.5)
    else:
        content = _other_pickle(content, chance)
    path.write_bytes(content)
    return Attack(lambda: read_weights(path), 4 * len(content) + 2 * DAMAGE_ROOM, path, same)


def _has_torch() -> bool:
    try:
        import torch  # noqa: F401
    except ImportError:
        return False
    return True


@functools.cache
def _weights_before(folder: Path) -> list[tuple]:
    path = folder / "before.npz"
    path.write_bytes(stored_weights("npz"))
    return read_weights(path)


def _other_pickle(content: bytes, chance: Any) -> bytes:
    """A file of torch with another pickle: one that runs code, one that is changed."""
    if chance.random() < 0.2:
        return pickle.dumps({"w": Trap()}, protocol=chance.choice((2, 4)))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    inside = next(name for name in files if name.endswith("data.pkl"))
    files[inside] = chance.choice((mutated(files[inside], chance), pickle.dumps({"w": Trap()}, 2)))
    return npz(files, False)


# ------------------------------------------------------------------- calibration.json


def attack_calibration(folder: Path, chance: Any) -> Attack:
    draw = np.random.default_rng(3)
    if not hasattr(attack_calibration, "known"):
        one = calibration.calibrate(draw.normal(size=(60, 3)), draw.integers(0, 3, 60), "run", 4)
        attack_calibration.known = calibration.calibration_bytes([one])
        (folder / "first.json").write_bytes(attack_calibration.known)
        attack_calibration.before = calibration.parse_calibration(folder / "first.json")
    content, same = attack_calibration.known, None
    path = folder / "calibration.json"
    if chance.random() < 0.5:
        content = mutated(content, chance)
        same = lambda found: found == attack_calibration.before  # noqa: E731
    else:
        values = json.loads(content) | {"sha256": calibration.ZEROS.decode()}
        for _ in range(chance.choice((1, 1, 3))):
            values = mutated_json(values, chance)
        content = dumped(values)
        if isinstance(values, dict) and values.get("sha256") == calibration.ZEROS.decode():
            content = calibration.seal(content)
    path.write_bytes(content)

    def call() -> Any:
        found = calibration.parse_calibration(path)
        for one in found:  # what is read can be used
            assert np.isfinite(one.probabilities(np.eye(3))).all()
            one.is_unlike(np.eye(3))
        calibration.read_calibration(folder, "run", 4)
        return found

    return Attack(call, 40 * len(content) + DAMAGE_ROOM, path, same)


# ------------------------------------------------------------------- CNNClassifier.save


@functools.cache
def estimator_bytes(folder: Path) -> bytes:
    from autocnn.sklearn import CNNClassifier

    x, y = np.random.default_rng(0).random((6, 8, 8)), np.array(["a", "b", "c"] * 2)
    one = CNNClassifier(random_state=0, class_weight={"a": 2.0}).partial_fit(x, y, [*"abc"])
    one.save(folder / "e.safetensors")
    return (folder / "e.safetensors").read_bytes()


def use(path: Path) -> Any:
    from autocnn.sklearn import CNNClassifier

    one = CNNClassifier.load(path)
    answers = one.predict_proba(np.random.default_rng(1).random((2, 8, 8)))
    assert np.isfinite(answers).all()
    return answers.tolist(), one.classes_.tolist()


@functools.cache
def _estimator_before(folder: Path) -> Any:
    (folder / "first.safetensors").write_bytes(estimator_bytes(folder))
    return use(folder / "first.safetensors")


def _changed(about: Any, chance: Any) -> Any:
    """Mostly a change within one of the description's parts, so that more of it is looked at."""
    if chance.random() < 0.2 or not isinstance(about, dict) or not about.keys() - {"kind"}:
        return mutated_json(about, chance)
    key = chance.choice([key for key in about if key != "kind"])
    return about | {key: mutated_json(about[key], chance)}


def attack_estimator(folder: Path, chance: Any) -> Attack:
    content, same = estimator_bytes(folder), None
    path = folder / "c.safetensors"
    if chance.random() < 0.5:
        content = mutated(content, chance)
        path.write_bytes(content)
        same = lambda found: found == _estimator_before(folder)  # noqa: E731
    else:  # whole by its sums, but with another description
        path.write_bytes(content)
        params, state, about = checkpoint.load(path)
        for _ in range(chance.choice((1, 1, 3))):
            about = _changed(about, chance)
        if chance.random() < 0.2:
            state = chance.choice(({}, {"network": state}, {"network": [], "optimizer": {}}))
        if chance.random() < 0.2:
            params = chance.choice(({}, [], [*params, *params], params[:1]))
        checkpoint.save(path, params, state, about if isinstance(about, dict) else {})
    return Attack(lambda: use(path), 1 << 22, path, same)


# ------------------------------------------------------------------- images


@functools.cache
def stored_images() -> tuple[tuple[str, bytes], ...]:
    from PIL import Image

    draw, found = np.random.default_rng(0), []
    for shape in ((9, 7), (9, 7, 3), (40, 30, 4)):
        pixels = draw.integers(0, 255, shape, dtype=np.uint8)
        for kind in ("png", "gif", "bmp", "jpeg", "webp", "tiff", "ppm"):
            stored = io.BytesIO()
            image = Image.fromarray(pixels)
            (image if kind in ("png", "webp", "tiff") else image.convert("RGB")).save(stored, kind)
            found.append((kind, stored.getvalue()))
    return tuple(found)


def attack_pixels(folder: Path, chance: Any) -> Attack:
    """An image that is read and fitted to a network; a PNG's chunks have sums."""
    kind, content = chance.choice(stored_images())
    same = None
    if chance.random() < 0.1:
        kind, content = "png", giant(chance)
    else:
        whole = content
        content = mutated(content, chance)
        if kind == "png":
            same = lambda found: found == _fitted(images.reading.read_bytes(whole, "whole.png"))  # noqa: E731
    path = folder / f"pixels.{kind}"
    path.write_bytes(content)

    def call() -> bytes:
        x = images.read(path)
        assert x.dtype == np.float32 and x.ndim in (2, 3) and x.min() >= 0 and x.max() <= 1
        return _fitted(x) if x.size < 1 << 20 else b""

    return Attack(call, 1 << 28, path, same)


def _fitted(x: np.ndarray) -> bytes:
    try:
        return images.fit_image(x, (1, 28, 28), ink_fraction=20 / 28).x.tobytes() + x.tobytes()
    except images.NoInk:
        return x.tobytes()


ATTACKS = {
    "weights": attack_weights,
    "calibration": attack_calibration,
    "estimator": attack_estimator,
    "pixels": attack_pixels,
}
