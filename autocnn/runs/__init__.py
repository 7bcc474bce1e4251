"""Run folders: what one training leaves on the disk, how it is read again, and the recipes by
which it was trained.
"""

from autocnn.deprecation import renamed_names
from autocnn.runs.folder import (
    CONFIG,
    HISTORY,
    Saved,
    configure,
    create,
    free_folder,
    holds,
    load,
    lock,
    save,
    settings,
    started,
)

__all__ = [
    "CONFIG",
    "HISTORY",
    "Saved",
    "configure",
    "create",
    "free_folder",
    "holds",
    "load",
    "lock",
    "save",
    "settings",
    "started",
]

__getattr__ = renamed_names(
    __name__, {"held": "autocnn.runs.lock", "write": "autocnn.files.atomic_write"}
)
