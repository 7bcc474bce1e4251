"""config.json: a ``RunConfig`` under a sum, which shows whether anybody or anything changed it."""

import json
import secrets
from pathlib import Path

from autocnn.checkpoint.format import ZEROS, DamagedError, is_sealed, seal
from autocnn.files import open_regular
from autocnn.runs.config import NewerVersionError, RunConfig

__all__ = ["config_bytes", "new_identity", "parse_config"]

MAX_BYTES = 1 << 24  # of which the names of 100,000 classes take a fraction


def new_identity() -> str:
    """Return the identity of a new run: 32 random hexadecimal digits."""
    return secrets.token_hex(16)


def config_bytes(config: RunConfig) -> bytes:
    """Return the content of config.json. Only a run with an identity has a sum."""
    values = config.to_json()
    if config.run is not None:
        values = {"sha256": ZEROS.decode()} | values
    return seal((json.dumps(values, indent=2) + "\n").encode())


def parse_config(path: Path) -> RunConfig:
    """Read config.json. ``DamagedError`` when it is not as it was written, ValueError when it makes
    no sense.
    """
    with open_regular(path) as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"{path} is damaged: it has more than {MAX_BYTES:,} bytes")
    try:
        values = json.loads(content)
        has_sum = isinstance(values, dict) and "sha256" in values
        if has_sum:
            del values["sha256"]
        config = RunConfig.from_json(values)
    except NewerVersionError as error:
        raise ValueError(f"{path} cannot be used: {error}") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    if (has_sum or config.run is not None) and not is_sealed(content):
        raise DamagedError(f"{path} was changed after the run began: it does not match its SHA-256")
    return config
