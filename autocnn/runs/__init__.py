"""Run folders: what one training leaves on the disk, how it is read again, and the recipes by
which networks are trained.
"""

from autocnn.deprecation import renamed_names
from autocnn.runs.config import RunConfig
from autocnn.runs.folder import (
    CONFIG,
    FILES,
    HISTORY,
    SavedRun,
    create,
    free_folder,
    has_checkpoint,
    has_config,
    load,
    lock,
    read_config,
    recover,
    save,
    with_identity,
    write_config,
)
from autocnn.runs.own_network import save_source
from autocnn.runs.start import initialize, load_data, run_data, start_from, weights_file
from autocnn.runs.verify import verify

__all__ = [
    "CONFIG",
    "FILES",
    "HISTORY",
    "RunConfig",
    "SavedRun",
    "create",
    "free_folder",
    "has_checkpoint",
    "has_config",
    "initialize",
    "load",
    "load_data",
    "lock",
    "read_config",
    "recover",
    "run_data",
    "save",
    "save_source",
    "start_from",
    "verify",
    "weights_file",
    "with_identity",
    "write_config",
]

__getattr__ = renamed_names(
    __name__,
    {
        "Saved": "autocnn.runs.SavedRun",
        "configure": "autocnn.runs.write_config",
        "held": "autocnn.runs.lock",
        "holds": "autocnn.runs.has_config",
        "settings": "autocnn.runs.read_config",
        "started": "autocnn.runs.has_checkpoint",
        "write": "autocnn.files.atomic_write",
    },
)
