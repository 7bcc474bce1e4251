"""``verify``: whether every file of a run folder is whole, and of that run."""

import hashlib
import zlib
from pathlib import Path
from typing import Any

from autocnn.checkpoint.checkpoint import read_metadata
from autocnn.checkpoint.format import open_tensors
from autocnn.runs import calibration, recovery
from autocnn.runs.best import best_problem, copies
from autocnn.runs.config import RunConfig
from autocnn.runs.folder import FILES

__all__ = ["verify"]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
UNKNOWN = "not a file of a run; not checked"


def verify(folder: str | Path) -> list[dict[str, Any]]:
    """Check every bit of every file of a run folder.

    Returns a dict for each file: "file", its name; "ok", True or False, None for what cannot be
    checked; "epoch" of a checkpoint; "tensors", the names of those that are damaged; "problem", a
    sentence or None. ValueError when the folder holds no run. A run that is being trained may be
    between two writes.
    """
    folder = Path(folder)
    config, problem = None, None
    try:
        config = recovery.read_config(folder)
    except ValueError as error:
        if not recovery.has_checkpoint(folder):
            raise
        problem = str(error)
    last = _last(folder)
    newest = last and last.run
    if config is not None and newest is not None and (names := config.differences(newest.config)):
        problem = f"it was changed after the run began: {', '.join(names)}"
    rows = []
    for path in sorted(p for p in folder.iterdir() if not p.name.startswith(".")):
        if path.name == recovery.CONFIG:
            sealed = config is None or config.run is not None
            row = _row(path, problem, checked=sealed or problem is not None)
        elif path.name == recovery.HISTORY:
            row = _row(path, *_history_problem(path, last))
        elif path.suffix == ".safetensors":
            row = _checkpoint(path, config or (newest and newest.config), last)
        elif path.stem == "network" and path.is_file() and config and config.source:
            whole = hashlib.sha256(path.read_bytes()).hexdigest() == config.source.file
            row = _row(path, None if whole else "it is not what the network was built from")
        elif path.name == calibration.FILE:
            row = _row(path, _calibration_problem(path, config))
        elif path.suffix == ".png" and path.is_file():
            row = _row(path, _png_problem(path.read_bytes(), config))
        else:
            row = _row(path, UNKNOWN, checked=False)
        rows.append(row)
    return rows + [_row(path, "it is missing") for path in _missing(folder, newest)]


def _row(path: Path, problem: str | None, checked: bool = True, **more: Any) -> dict[str, Any]:
    if not checked and problem is None:
        problem = "it has no sum, as an earlier version wrote it: damage cannot be seen"
    ok = (problem is None) if checked else None
    row = {"file": path.name, "ok": ok, "epoch": None, "tensors": [], "problem": problem}
    return row | more


def _last(folder: Path) -> recovery.Reading | None:
    """Return the newest whole state, and what there is to say of others."""
    try:
        return recovery.read_last(folder)
    except ValueError:
        return None


def _missing(folder: Path, newest: recovery.SavedRun | None) -> list[Path]:
    """Return the files that are not there, of those that every run has that has come so far."""
    if newest is None:
        return []
    has_best = newest.config.run is not None and newest.epoch >= 0
    best = copies(folder / "best.safetensors") if has_best else []
    missing = [path for path in best if not path.exists()][:1]
    needed = [folder / recovery.CONFIG, folder / "last.safetensors"]
    return [path for path in needed if not path.exists()] + missing


def _history_problem(path: Path, last: recovery.Reading | None) -> tuple[str | None, bool]:
    """Return (problem, whether there is something to compare with)."""
    if not path.is_file():
        return "it is a folder", True
    if last is None:
        return "no checkpoint to compare it with", False
    content = recovery.history_bytes(last.run.train_state.history)
    found = path.read_bytes()
    if found != content and not last.is_newest and found.startswith(content):
        return f"only the rows up to epoch {last.run.epoch} can be checked", False
    return None if found == content else "it differs from the last checkpoint", True


def _checkpoint(
    path: Path, config: RunConfig | None, last: recovery.Reading | None
) -> dict[str, Any]:
    try:
        with open_tensors(path) as file:
            tensors, has_sums = file.damaged(), file.sums is not None
            is_ours = "autocnn" in file.metadata or path.name in FILES
        metadata = read_metadata(path) if is_ours else {}
        history = metadata.get("history") or {}
        epoch = history["epoch"][-1] if history.get("epoch") else None
    except (OSError, LookupError, TypeError, ValueError, AttributeError) as error:
        return _row(path, str(error).partition(";")[0])
    if tensors:
        listed = f"{', '.join(tensors[:3])}{', ...' if len(tensors) > 3 else ''}"
        return _row(path, f"damaged tensors: {listed}", epoch=epoch, tensors=tensors)
    if not is_ours:  # such as weights that were exported
        return _row(path, None if has_sums else UNKNOWN, checked=has_sums)
    problem = None
    if config is not None:
        try:
            recovery.trained_with(path, config, None, metadata)
        except ValueError as error:
            problem = str(error).partition(";")[0]
    if problem is None and last is not None:
        if path in copies(path.with_name("best.safetensors")):
            problem = best_problem(path, last.run, last.is_newest)
        elif path.name == "last.safetensors" and last.misplaced is not None:
            problem = str(last.misplaced).removeprefix(f"{path} ")
    return _row(path, problem, checked=has_sums or problem is not None, epoch=epoch)


def _calibration_problem(path: Path, config: RunConfig | None) -> str | None:
    try:
        found = calibration.parse_calibration(path)
    except (OSError, ValueError) as error:
        return str(error).removeprefix(f"{path} ")
    mixed = config is not None and any(one.run != config.run for one in found)
    return "it is of another run" if mixed else None


def _png_problem(content: bytes, config: RunConfig | None) -> str | None:
    """Check the sums of an image's chunks, and the identity of the run that it was drawn for."""
    at, text, kind = len(SIGNATURE), b"", b""
    while content[: len(SIGNATURE)] == SIGNATURE and at + 12 <= len(content):
        size = int.from_bytes(content[at : at + 4], "big")
        end = at + 8 + size
        kind, body = content[at + 4 : at + 8], content[at + 4 : end]
        if zlib.crc32(body) != int.from_bytes(content[end : end + 4], "big"):
            break
        text, at = text + (body if kind == b"tEXt" else b""), end + 4
    if kind != b"IEND" or at != len(content):
        return "it is damaged: its sums do not match"
    run = config.run if config is not None else None
    if run is not None and b"autocnn run\0" in text and run.encode() not in text:
        return "it shows another run"
    return None
