"""Run folders: what one training leaves on the disk, how it is read again, and the recipes by
which it was trained.
"""

from autocnn.runs.folder import (
    CONFIG,
    HISTORY,
    Saved,
    configure,
    create,
    free_folder,
    held,
    holds,
    load,
    save,
    settings,
    started,
    write,
)

__all__ = [
    "CONFIG",
    "HISTORY",
    "Saved",
    "configure",
    "create",
    "free_folder",
    "held",
    "holds",
    "load",
    "save",
    "settings",
    "started",
    "write",
]
