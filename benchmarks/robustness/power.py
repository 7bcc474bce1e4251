"""Power cuts: what a run folder may hold after one, and whether the run goes on from there.

    python -m benchmarks.robustness.power [CUTS] [SEED]                              # 200

One training is recorded: every write, sync, rename, link and removal. A cut at a random one of them
leaves what a disk may then hold. Of a file, what was synced is there; of what was written since,
any blocks are, and the others are zeros or missing. Each name of the folder leads to what it led to
when the folder was synced, or to anything that it was made to lead to since: the order does not
count. ``autocnn train --run`` must go on from the epoch before the one that was being saved at
least, to the bits of the run that was not cut.
"""

import os
import pathlib
import random
import shutil
import sys
import tempfile

from autocnn import files, runs
from autocnn.cli import output
from autocnn.plots import training as plots
from autocnn.runs import config_file
from benchmarks.robustness import flips

BLOCK = 512


class Recorder:
    """A list of what is done to a folder: ("write", file, bytes), ("sync", file), ("name", name,
    file or None), ("sync names",) and ("saved", epoch). Files have numbers, which stay when names
    change.
    """

    def __init__(self, folder):
        self.folder, self.events, self.open_files = folder, [], {}
        self.count = 0

    def add(self, *event):
        """Record an event."""
        self.events.append(event)

    def install(self, patch):
        """Watch the functions that ``autocnn.files`` and its users write by."""
        patch(files, "open", self.open, raising=False)
        for name in ("fsync", "replace", "link", "unlink"):
            patch(os, name, getattr(self, name)(getattr(os, name)))

    def open(self, path, mode="r", *args):
        """Open a file; a new one gets a number."""
        file = open(path, mode, *args)  # noqa: SIM115
        if "x" not in mode:
            return file
        self.count += 1
        number = self.open_files[os.fstat(file.fileno()).st_ino] = self.count
        self.add("name", pathlib.Path(path).name, number)
        return _Recorded(file, number, self)

    def fsync(self, really):
        """Return ``os.fsync`` that is recorded and does nothing."""

        def fsync(descriptor):
            found = os.fstat(descriptor)
            if os.path.isdir(f"/proc/self/fd/{descriptor}"):
                self.add("sync names")
            elif found.st_ino in self.open_files:
                self.add("sync", self.open_files[found.st_ino])

        return fsync

    def replace(self, really):
        """Return ``os.replace``, recorded."""

        def replace(source, target):
            number = self.open_files[os.stat(source).st_ino]
            really(source, target)
            self.add("name", pathlib.Path(target).name, number)
            self.add("name", pathlib.Path(source).name, None)

        return replace

    def link(self, really):
        """Return ``os.link``, recorded."""

        def link(source, target):
            really(source, target)
            self.add("name", pathlib.Path(target).name, self.open_files[os.stat(source).st_ino])

        return link

    def unlink(self, really):
        """Return ``os.unlink``, recorded."""

        def unlink(path, **options):
            really(path, **options)
            self.add("name", pathlib.Path(path).name, None)

        return unlink


class _Recorded:
    """A file whose writes are recorded."""

    def __init__(self, file, number, recorder):
        self.file, self.number_, self.recorder = file, number, recorder

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def write(self, content):
        """Write, and record it."""
        self.recorder.add("write", self.number_, bytes(content))
        return self.file.write(content)

    def __getattr__(self, name):
        return getattr(self.file, name)


def after_cut(events, folder, draw):
    """Make ``folder`` what a disk may hold when the power went after these events. Returns the last
    epoch whose saving was done.
    """
    synced, written, names, pending, epoch = {}, {}, {}, {}, -1
    for event in events:
        match event:
            case ("write", number, content):
                written[number] = written.get(number, b"") + content
            case ("sync", number):
                synced[number] = written.get(number, b"")
            case ("name", name, number):
                pending.setdefault(name, []).append(number)
            case ("sync names",):
                names |= {name: numbers[-1] for name, numbers in pending.items()}
                pending = {}
            case ("saved", now):
                epoch = now
    for name, numbers in pending.items():
        names[name] = draw.choice([names.get(name), *numbers])
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, number in names.items():
        if number is not None:
            content = synced.get(number)
            if content is None:
                content = _torn(written.get(number, b""), draw)
            (folder / name).write_bytes(content)
    return epoch


def _torn(content, draw):
    """What may be there of a file that was never synced."""
    blocks = [content[i : i + BLOCK] for i in range(0, len(content), BLOCK)]
    blocks = [b if draw.random() < 0.5 else bytes(len(b)) for b in blocks]
    return b"".join(blocks[: draw.randint(0, len(blocks))])


def record(folder):
    """Train into ``folder`` and return the recorded events."""
    recorder, save, before = Recorder(folder), runs.save, []

    def patch(owner, name, value, raising=True):
        before.append((owner, name, getattr(owner, name, None)))
        setattr(owner, name, value)

    def saving(path, now, name, config):
        save(path, now, name, config)
        if name == "last":
            recorder.add("saved", now.history["epoch"][-1])

    recorder.install(patch)
    patch(runs, "save", saving)
    try:
        flips.autocnn(*flips.CALL.split(), folder)
    finally:
        for owner, name, value in reversed(before):
            if value is None:
                delattr(owner, name)
            else:
                setattr(owner, name, value)
    return recorder.events


def attack(events, whole, folder, draw):
    """Cut the power at a random moment and go on. Returns (epochs lost, same bits at the end).

    A cut before the run has a config loses all of nothing: the run is begun anew.
    """
    at = draw.randrange(1, len(events) + 1)
    epoch = after_cut(events[:at], folder, draw)
    lost = 0
    if runs.has_config(folder) and epoch >= 0:
        lost = epoch - runs.load(folder, "last").epoch
    elif epoch >= 0:
        lost = epoch + 1
    code, _ = flips.autocnn(*flips.CALL.split(), folder)
    return lost, code == 0 and flips.files(folder) == whole


def main(cuts=200, seed=0):
    """Print how many epochs were lost, and how many runs went on to the same bits."""
    for name in ("curves", "confusion", "mistakes"):
        setattr(plots, name, lambda *args: flips.Figure())
    config_file.new_identity = lambda: "0" * 32
    output.log_to_stderr()
    draw, lost, same = random.Random(seed), [], 0
    with tempfile.TemporaryDirectory() as root:
        root = pathlib.Path(root)
        events = record(root / "whole")
        whole = flips.files(root / "whole")
        for i in range(cuts):
            epochs, was_same = attack(events, whole, root / "run", draw)
            lost.append(epochs)
            same += was_same
            if epochs > 0 or not was_same:
                print(f"cut {i}: {epochs} epochs lost, same bits {was_same}")
    print(
        f"{cuts} cuts among {len(events)} events: at most {max(lost)} saved epochs lost, {same} "
        "went on to the same bits"
    )
    return max(lost) <= 0 and same == cuts


if __name__ == "__main__":
    sys.exit(not main(*map(int, sys.argv[1:])))
