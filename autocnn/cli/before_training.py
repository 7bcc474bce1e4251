"""What ``autocnn train`` checks and says before the first step: memory, weights, data."""

from pathlib import Path
from typing import Any

from autocnn import runs
from autocnn.cli import output
from autocnn.data.dataset import Dataset
from autocnn.data.identity import content_difference
from autocnn.models.interpretations import interpretation
from autocnn.runs import RunConfig, memory, own_network
from autocnn.text import visible
from autocnn.training import TrainState, mpi

__all__ = ["check_memory", "same_data", "with_weights"]


def with_weights(config: RunConfig, model: Any, start: TrainState, as_json: bool) -> TrainState:
    """Return the state before the first step with the weights of ``--weights``, if it was given."""
    if config.weights is None:
        return start
    start, told = runs.start_from(config, model, start)
    if mpi.rank() == 0:
        output.echo(visible(told), err=as_json)
    return start


def check_memory(config: RunConfig, as_json: bool) -> None:
    """Say what a large network takes, before anything is allocated; MemoryError if too much."""
    try:
        model = config.build(interpretation("autograd"))
        told = memory.check(
            own_network.short_name(config.network),
            model,
            config.input_shape,
            config.recipe.batch_size,
            config.dtype,
            config.recipe.optimizer,
        )
    except (TypeError, ValueError):
        return  # ``initialize`` says it better
    if told and mpi.rank() == 0:
        output.echo(told, err=as_json)


def same_data(config: RunConfig, saved: RunConfig, folder: Path) -> Dataset:
    """Return the data of a run, from a new place perhaps; ValueError when they are others."""
    if config.data == saved.data:
        data = runs.run_data(config)
    else:
        data = runs.load_data(config.data, config.limit, config.validation, config.size)
    different = content_difference(data, config.shape, config.classes, config.content)
    steps = -(-len(data.x_train) // config.recipe.batch_size)
    if not different and steps != config.steps_per_epoch:
        different = f"its {len(data.x_train):,} training images are more or fewer"
    if different and config.data != saved.data:
        raise ValueError(
            f"{folder} holds a run with --data {saved.data}, not --data {config.data}: {different}"
            "; leave that away to go on with it, or name another folder to begin another run: "
            f"--run {runs.free_folder(folder)}"
        )
    if different:
        raise ValueError(
            f"{config.data} is not what it was when {folder} was begun: {different}; {data!r}"
        )
    if config.data != saved.data and config.content is None:
        output.error(
            f"{folder} keeps no sum of its data: that {config.data} holds the same images is not "
            "checked beyond their shape, classes and number"
        )
    return data
