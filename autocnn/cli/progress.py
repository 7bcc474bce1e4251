"""Progress: what a training prints, as a table for people or as JSON lines for programs."""

from autocnn.text import paragraphs, shape_text, strict_json
from autocnn.trees import count

__all__ = ["describe", "head", "introduction", "line", "outcome", "remarks", "row"]

# The table by the width that it needs: with the time, without it, and the validation alone.
WIDE, NARROW = 52, 36
HEADS = {
    WIDE: "         training          validation\nepoch    loss  accuracy    loss  accuracy       time",
    NARROW: "        training       validation\nepoch   loss     acc    loss     acc",
    0: "       validation\nepoch   loss     acc",
}


def introduction(config, recipe, data, params, measured, width):
    """Return the paragraphs that say what is about to happen, wrapped to ``width``."""
    size = shape_text(config["shape"], "x")
    course = "falling as a cosine" if recipe.schedule == "cosine" else "staying there"
    schedule = (
        f"{recipe.optimizer}, rate {recipe.rate:g} {course}, weight decay {recipe.weight_decay:g}"
    )
    schedule += f", gradients no longer than {recipe.clip:g}" if recipe.clip else ""
    changes = [f"shifts of up to {recipe.shift}"] if recipe.shift else []
    changes += ["mirror images"] if recipe.flip else []
    lines = [
        f"{config['network']}, {count(params):,} parameters, gradients by {config['engine']}, seed {config['seed']}",
        f"{config['data']}: {len(data.x_train):,} training and {len(data.x_val):,} validation images of {size}",
        f"{schedule}; batches of {recipe.batch_size}; {' and '.join(changes) or 'images as they are'}",
    ]
    if recipe.class_weight:
        lines.append("in the loss, every class weighs the same, however many images it has")
    if recipe.patience:
        lines.append(
            f"at most {recipe.epochs} epochs, and no more than {recipe.patience} without a better validation accuracy"
        )
    if len(data.x_train) > measured:
        lines.append(f"training columns: measured on {measured:,} of the training images")
    return paragraphs("\n".join(lines), width)


def head(width):
    """Return the head of the table that fits ``width`` columns."""
    return HEADS[_layout(width)]


def row(history, seconds, width):
    """Return the table's row for the last epoch of a history, which ended after so many
    ``seconds``.
    """
    epoch, loss, accuracy, val_loss, val_accuracy = (values[-1] for values in history.values())
    layout = _layout(width)
    if layout == WIDE:
        m, s = divmod(round(seconds), 60)
        return f"{epoch:5d}  {_loss(loss)}  {accuracy:8.2%}  {_loss(val_loss)}  {val_accuracy:8.2%}  {m:6d}:{s:02d}"
    if layout == NARROW:
        return f"{epoch:5d} {_loss(loss)} {accuracy:7.2%}  {_loss(val_loss)} {val_accuracy:7.2%}"
    return f"{epoch:5d} {_loss(val_loss)} {val_accuracy:7.2%}"


def _layout(width):
    return next(least for least in HEADS if width >= least)


def _loss(value):
    """Six columns, four decimals where there is room for them."""
    return next(
        (text for text in (f"{value:6.{n}f}" for n in (4, 3, 2)) if len(text) == 6), f"{value:6.3g}"
    )


def describe(loss, epoch, epochs, accuracy, width):
    """Return what stands before the bar, in no more than about half of ``width``."""
    if width < 75:
        return f"{epoch}/{epochs}  loss {_loss(loss).strip()}"
    return f"epoch {epoch}/{epochs}  loss {_loss(loss).strip()}  accuracy {accuracy:.2%}"


def line(history, seconds):
    """Return the last epoch of a history as one line of JSON."""
    return strict_json(
        {name: values[-1] for name, values in history.items()} | {"seconds": round(seconds, 3)}
    )


def outcome(folder, config, history, waited, files):
    """Return what came out of a training as a dict: where it stands, its last epoch and its
    best, and why it stopped.
    """
    accuracy, epoch, recipe = history["val_acc"], history["epoch"][-1], config["recipe"]
    best, patience = len(accuracy) - 1 - waited, recipe.get("patience")
    early = epoch < recipe["epochs"] and patience is not None and waited >= patience
    return {
        **{
            "run": str(folder),
            "network": config["network"],
            "data": config["data"],
            "seed": config["seed"],
        },
        **{
            "epoch": epoch,
            "epochs": recipe["epochs"],
            "val_loss": history["val_loss"][-1],
            "val_acc": accuracy[-1],
        },
        **{"best_epoch": best, "best_val_acc": accuracy[best]},
        "stopped": "patience" if early else "until" if epoch < recipe["epochs"] else None,
        "files": files,
    }


def remarks(came, how_to_go_on, width):
    """Return the sentences that say an ``outcome``, wrapped to ``width`` but for the command
    line, which stays whole.
    """
    epoch, epochs, best = came["epoch"], came["epochs"], came["best_epoch"]
    lines = [
        f"validation accuracy {came['val_acc']:.2%}; the best epoch was {best} with {came['best_val_acc']:.2%}"
    ]
    if came["stopped"] == "patience":
        lines.append(
            f"stopped early, after epoch {epoch} of {epochs}: {epoch - best} in a row were not better than the best"
        )
    lines = [paragraphs(text, width) for text in lines]
    if came["stopped"] == "until":
        lines.append(f"stopped after epoch {epoch} of {epochs}; {how_to_go_on}")
    return "\n".join([*lines, paragraphs(f"{came['run']}: {', '.join(came['files'])}", width)])
