"""``verify``: whether every file of a run folder is whole, and of that run."""

import hashlib
import zlib
from pathlib import Path
from typing import Any

from autocnn.checkpoint.checkpoint import read_metadata
from autocnn.checkpoint.format import open_tensors
from autocnn.checkpoint.generations import generations
from autocnn.runs import calibration, recovery
from autocnn.runs.config import RunConfig

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
        if not (folder / recovery.CONFIG).exists():
            raise
        problem = str(error)
    newest, is_newest = _newest(folder)
    if config is not None and newest is not None and (names := config.differences(newest.config)):
        problem = f"it was changed after the run began: {', '.join(names)}"
    rows = []
    for path in sorted(p for p in folder.iterdir() if not p.name.startswith(".")):
        if path.name == recovery.CONFIG:
            sealed = config is None or config.run is not None
            row = _row(path, problem, checked=sealed)
        elif path.name == recovery.HISTORY:
            row = _row(path, *_history_problem(path, newest, is_newest))
        elif path.suffix == ".safetensors":
            row = _checkpoint(path, config or (newest and newest.config), newest, is_newest)
        elif path.stem == "network" and config is not None and config.source is not None:
            whole = hashlib.sha256(path.read_bytes()).hexdigest() == config.source.file
            row = _row(path, None if whole else "it is not what the network was built from")
        elif path.name == calibration.FILE:
            row = _row(path, _calibration_problem(path, config))
        elif path.suffix == ".png" and path.is_file():
            row = _row(path, _png_problem(path.read_bytes(), config))
        else:
            row = _row(path, UNKNOWN, checked=False)
        rows.append(row)
    if newest is not None and newest.config.run is not None:
        best = recovery.copies(folder / "best.safetensors")
        rows += [_row(path, "it is missing") for path in best if not path.exists()][:1]
    return rows


def _row(path: Path, problem: str | None, checked: bool = True, **more: Any) -> dict[str, Any]:
    if not checked and problem is None:
        problem = "it has no sum, as an earlier version wrote it: damage cannot be seen"
    ok = (problem is None) if checked else None
    row = {"file": path.name, "ok": ok, "epoch": None, "tensors": [], "problem": problem}
    return row | more


def _newest(folder: Path) -> tuple[recovery.SavedRun | None, bool]:
    """Return the newest whole state, and whether that is the last one."""
    try:
        reading = recovery.read_last(folder)
    except ValueError:
        return None, False
    return reading.run, not reading.refused


def _history_problem(
    path: Path, newest: recovery.SavedRun | None, is_newest: bool
) -> tuple[str | None, bool]:
    """Return (problem, whether there is something to compare with)."""
    if not path.is_file():
        return "it is a folder", True
    if newest is None:
        return "no checkpoint to compare it with", False
    content = recovery.history_bytes(newest.train_state.history)
    found = path.read_bytes()
    if found != content and not is_newest and found.startswith(content):
        return f"only the rows up to epoch {newest.epoch} can be checked", False
    return None if found == content else "it differs from the last checkpoint", True


def _checkpoint(
    path: Path, config: RunConfig | None, newest: recovery.SavedRun | None, is_newest: bool
) -> dict[str, Any]:
    try:
        with open_tensors(path) as file:
            tensors, has_sums = file.damaged(), file.sums is not None
        metadata = read_metadata(path)
        history = metadata.get("history") or {}
        epoch = history["epoch"][-1] if history.get("epoch") else None
    except (OSError, LookupError, TypeError, ValueError, AttributeError) as error:
        return _row(path, str(error).partition(";")[0])
    if tensors:
        listed = f"{', '.join(tensors[:3])}{', ...' if len(tensors) > 3 else ''}"
        return _row(path, f"damaged tensors: {listed}", epoch=epoch, tensors=tensors)
    problem = None
    if config is not None:
        try:
            recovery.trained_with(path, config, None, metadata)
        except ValueError as error:
            problem = str(error).partition(";")[0]
    is_last = path in generations(path.with_name("last.safetensors"))
    if problem is None and newest is not None and not is_last:
        problem = recovery.best_problem(path, newest, is_newest)
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
