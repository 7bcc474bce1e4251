"""What ``autocnn train`` prints: a table for people, or JSON lines for programs."""

from pathlib import Path
from typing import Any

from autocnn.data.dataset import Dataset
from autocnn.runs import RunConfig
from autocnn.runs.calibration import FEWEST, FILE
from autocnn.text import paragraphs, shape_text, strict_json, visible
from autocnn.training import epochs_since_best
from autocnn.trees import count

__all__ = ["describe", "head", "introduction", "line", "outcome", "remarks", "row"]

# Headers by the width that their table needs: with the time, without it, validation only.
WIDE, NARROW = 52, 36
HEADS = {
    WIDE: "         training          validation\n"
    "epoch    loss  accuracy    loss  accuracy       time",
    NARROW: "        training       validation\nepoch   loss     acc    loss     acc",
    0: "       validation\nepoch   loss     acc",
}


def introduction(
    config: RunConfig, data: Dataset, params: Any, metric_subset: int, width: int
) -> str:
    """Return the text that says what is about to be trained, wrapped to ``width`` columns.

    metric_subset: the number of training images on which the training metrics are taken.
    """
    recipe, size = config.recipe, shape_text(config.shape, "x")
    decay = "falling as a cosine" if recipe.schedule == "cosine" else "staying there"
    schedule = (
        f"{recipe.optimizer}, rate {recipe.rate:g} {decay}, weight decay {recipe.weight_decay:g}"
    )
    schedule += f", gradients no longer than {recipe.clip:g}" if recipe.clip else ""
    changes = [f"shifts of up to {recipe.shift}"] if recipe.shift else []
    changes += ["mirror images"] if recipe.flip else []
    changes += [recipe.augment] if recipe.augment else []
    test = "" if data.x_test is None else f"; {len(data.x_test):,} test images, for evaluate"
    lines = [
        f"{visible(config.network)}, {count(params):,} parameters, gradients by {config.engine}, "
        f"seed {config.seed}",
        f"{visible(config.data)}: {len(data.x_train):,} training and {len(data.x_val):,} "
        f"validation images of {size}{test}",
        *map(visible, data.notes),
        f"{schedule}; batches of {recipe.batch_size}; "
        f"{' and '.join(changes) or 'images as they are'}",
    ]
    if recipe.class_weight:
        lines.append("in the loss, every class weighs the same, however many images it has")
    if recipe.label_smoothing:
        lines.append(
            f"labels smoothed by {recipe.label_smoothing:g}, in the losses below as well; autocnn "
            "evaluate prints the loss without"
        )
    if recipe.patience:
        lines.append(
            f"at most {recipe.epochs} epochs, and no more than {recipe.patience} without a better "
            "validation accuracy"
        )
    if len(data.x_train) > metric_subset:
        lines.append(f"training columns: measured on {metric_subset:,} of the training images")
    return paragraphs("\n".join(lines), width)


def head(width: int) -> str:
    """Return the header of the widest table that fits ``width`` columns."""
    return HEADS[_layout(width)]


def row(history: dict[str, list], seconds: float, width: int) -> str:
    """Return the table's row for the last epoch of a history, ``seconds`` after the start."""
    epoch, loss, accuracy, val_loss, val_accuracy = (values[-1] for values in history.values())
    layout = _layout(width)
    if layout == WIDE:
        m, s = divmod(round(seconds), 60)
        return (
            f"{epoch:5d}  {_loss(loss)}  {accuracy:8.2%}  {_loss(val_loss)}  {val_accuracy:8.2%}"
            f"  {m:6d}:{s:02d}"
        )
    if layout == NARROW:
        return f"{epoch:5d} {_loss(loss)} {accuracy:7.2%}  {_loss(val_loss)} {val_accuracy:7.2%}"
    return f"{epoch:5d} {_loss(val_loss)} {val_accuracy:7.2%}"


def _layout(width: int) -> int:
    return next(least for least in HEADS if width >= least)


def _loss(value: float) -> str:
    """A loss in six columns, with four decimals where there is room for them."""
    return next(
        (text for text in (f"{value:6.{n}f}" for n in (4, 3, 2)) if len(text) == 6), f"{value:6.3g}"
    )


def describe(loss: float, epoch: int, epochs: int, accuracy: float, width: int) -> str:
    """Return the text before the bar, no longer than about half of ``width`` columns."""
    if width < 75:
        return f"{epoch}/{epochs}  loss {_loss(loss).strip()}"
    return f"epoch {epoch}/{epochs}  loss {_loss(loss).strip()}  accuracy {accuracy:.2%}"


def line(history: dict[str, list], seconds: float) -> str:
    """Return the last epoch of a history as one line of JSON."""
    last = {name: values[-1] for name, values in history.items()}
    return strict_json(last | {"seconds": round(seconds, 3)})


def outcome(
    folder: Path,
    config: RunConfig,
    history: dict[str, list],
    files: list[str],
    images: int,
) -> dict[str, Any]:
    """Return the outcome of a training for JSON.

    images: how many it was validated on. The outcome is where the run stands, its last and its best
    epoch, why it stopped: "patience", "until", or None for a run that is complete, and whether its
    probabilities are calibrated.
    """
    accuracy, epoch, recipe = history["val_acc"], history["epoch"][-1], config.recipe
    waited = epochs_since_best(history)
    best = len(accuracy) - 1 - waited
    early = epoch < recipe.epochs and recipe.patience is not None and waited >= recipe.patience
    return {
        "run": str(folder),
        "network": config.network,
        "data": config.data,
        "seed": config.seed,
        "epoch": epoch,
        "epochs": recipe.epochs,
        "val_loss": history["val_loss"][-1],
        "val_acc": accuracy[-1],
        "best_epoch": best,
        "best_val_acc": accuracy[best],
        "stopped": "patience" if early else "until" if epoch < recipe.epochs else None,
        "calibrated": FILE in files,
        "val_images": images,
        "files": files,
    }


def remarks(outcome: dict[str, Any], how_to_go_on: str, width: int) -> str:
    """Return an ``outcome`` as sentences, wrapped to ``width`` columns.

    The command line in ``how_to_go_on`` stays on one line, to be copied.
    """
    epoch, epochs, best = outcome["epoch"], outcome["epochs"], outcome["best_epoch"]
    lines = [
        f"validation accuracy {outcome['val_acc']:.2%}; the best epoch was {best} with "
        f"{outcome['best_val_acc']:.2%}"
    ]
    if outcome["stopped"] == "patience":
        lines.append(
            f"stopped early, after epoch {epoch} of {epochs}: {epoch - best} in a row were not "
            "better than the best"
        )
    if not outcome["calibrated"]:
        lines.append(
            f"probabilities are not calibrated: of {FEWEST} validation images, which that takes, "
            f"there are {outcome['val_images']}"
            if outcome["val_images"] < FEWEST
            else "probabilities are not calibrated: the network's outputs are not finite"
        )
    lines = [paragraphs(text, width) for text in lines]
    if outcome["stopped"] == "until":
        lines.append(f"stopped after epoch {epoch} of {epochs}; {visible(how_to_go_on)}")
    files = f"{visible(outcome['run'])}: {', '.join(outcome['files'])}"
    return "\n".join([*lines, paragraphs(files, width)])
