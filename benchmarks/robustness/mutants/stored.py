"""Slips in what is stored: sums, syncs, generations, identities, locks."""

__all__ = ["MUTANTS"]

DAMAGE = "tests/checkpoint/test_checkpoint.py tests/runs/test_damage.py"
FILES = "tests/runs/test_files.py tests/runs/test_power.py tests/runs/test_full_disk.py"
LOCKS = "tests/runs/test_locks.py"
MUTANTS = [
    (
        "autocnn/checkpoint/format.py",
        "if self.sums is not None and _tensor_sum(tensor) != self.sums.get(name):",
        "if False:",
        DAMAGE,
    ),
    (
        "autocnn/checkpoint/format.py",
        "if _tensor_sum(self._read(name)) != sums[name]]",
        "if len(self._read(name)) == 0]",
        DAMAGE,
    ),
    ("autocnn/checkpoint/format.py", "if not is_sealed(header):", "if not header:", DAMAGE),
    (
        "autocnn/checkpoint/format.py",
        "if any(value.startswith('{\"sha256\"') for value in metadata.values()):",
        "if False:",
        DAMAGE,
    ),
    (
        "autocnn/checkpoint/format.py",
        "if (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns):",
        "if True:",
        DAMAGE,
    ),
    (
        "autocnn/checkpoint/generations.py",
        "    if _is_same(paths[0], paths[1]):\n        return\n",
        "",
        DAMAGE,
    ),
    (
        "autocnn/checkpoint/generations.py",
        "sync_folder(older.parent)  # a disk",
        "pass  # a disk",
        FILES,
    ),
    (
        "autocnn/checkpoint/generations.py",
        "return a.sums is not None and a.metadata == b.metadata and a.sums == b.sums",
        "return a.sums == b.sums",
        DAMAGE,
    ),
    ("autocnn/files.py", "os.fsync(file.fileno())\n", "pass\n", FILES),
    ("autocnn/files.py", "            _check_written(partial, content)\n", "", FILES),
    ("autocnn/files.py", "        sync_folder(path.parent)\n", "", FILES),
    ("autocnn/files.py", "        _remove_dead_writes(path)\n", "", FILES),
    (
        "autocnn/files.py",
        "raise OSError(error.errno, error.strerror, str(path)) from error",
        "raise",
        FILES,
    ),
    ("autocnn/runs/config_file.py", "and not is_sealed(content)", "and False", DAMAGE),
    ("autocnn/runs/saved_run.py", "if config.run != own.run:", "if False:", DAMAGE),
    (
        "autocnn/runs/saved_run.py",
        "return own.replace(data=config.data,",
        "return config.replace(data=config.data,",
        DAMAGE,
    ),
    (
        "autocnn/runs/recovery.py",
        "if config is not None and (changed := config.differences(run.config)):",
        "if config is not None and (changed := []):",
        DAMAGE,
    ),
    ("autocnn/runs/recovery.py", "told += _mend_history(folder, run) + ", "told += ", DAMAGE),
    (
        "autocnn/runs/best.py",
        "    if epoch != best:\n",
        "    if epoch < best:\n",
        DAMAGE,
    ),
    (
        "autocnn/runs/best.py",
        "if same and (newest.config.run is None or not is_newest):",
        "if same:",
        DAMAGE,
    ),
    (
        "autocnn/runs/folder.py",
        "return saved != step and saved % steps_per_epoch == 0",
        "return saved != step",
        "tests/runs/test_runs.py tests/runs/test_damage.py tests/runs/test_kills.py",
    ),
    (
        "autocnn/runs/folder.py",
        "        shift(path)\n",
        "        pass\n",
        DAMAGE,
    ),
    (
        "autocnn/checkpoint/lock.py",
        "if self.place >= 0 and not _is_open_as(self.place, self.folder):",
        "if False:",
        LOCKS,
    ),
    (
        "autocnn/checkpoint/lock.py",
        "        if not _is_open_as(self.file, self.path):\n            raise",
        "        if False:\n            raise",
        LOCKS,
    ),
    (
        "autocnn/checkpoint/owner.py",
        "return _start_time(int(owner.process)) == owner.start",
        "return True",
        LOCKS,
    ),
    (
        "autocnn/checkpoint/lock.py",
        "(owner.boot, owner.space) == (self.me.boot, self.me.space)",
        "True",
        LOCKS,
    ),
    (
        "autocnn/checkpoint/lock.py",
        'if owner and owner.boot not in ("", self.me.boot) and self._is_fresh(self.file):',
        "if False:",
        LOCKS,
    ),
    (
        "autocnn/checkpoint/lock.py",
        "        while not self.stopped.wait(BEAT):\n",
        "        while not self.stopped.wait(1e6):\n",
        LOCKS,
    ),
    (
        "autocnn/checkpoint/lock.py",
        "if now is None or now.key != self.me.key:",
        "if now is None:",
        LOCKS,
    ),
    (
        "autocnn/runs/verify.py",
        'if kind != b"IEND" or at != len(content):',
        'if kind != b"IEND":',
        DAMAGE,
    ),
    (
        "autocnn/runs/verify.py",
        "return None if found == content else",
        "return None if len(found) == len(content) else",
        DAMAGE,
    ),
]
