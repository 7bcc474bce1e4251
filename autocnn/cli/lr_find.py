"""``autocnn lr-find``: a learning rate to begin with, by a range test."""

from collections.abc import Callable
from typing import Annotated

import typer

from autocnn import runs, training
from autocnn.cli import output, session, settings
from autocnn.cli.run_options import Json, figure_format, save_figure
from autocnn.models import NETWORKS
from autocnn.models.interpretations import INTERPRETATIONS
from autocnn.optim import Optimizer
from autocnn.runs import recipes
from autocnn.runs.preprocessing import prepare
from autocnn.text import strict_json, visible

__all__ = ["lr_find"]


def lr_find(
    context: typer.Context,
    network: Annotated[
        str,
        typer.Argument(
            help=f"{', '.join(NETWORKS)}; or FILE.py:FUNCTION, which returns a network",
            metavar="NETWORK",
        ),
    ],
    data: Annotated[
        str, typer.Option(help="Data set, as of autocnn train; default: digits or mnist")
    ] = "",
    steps: Annotated[int, typer.Option(help="Batches, each at a higher rate", min=10)] = 100,
    low: Annotated[float, typer.Option(help="First rate")] = 1e-6,
    high: Annotated[float, typer.Option(help="Last rate")] = 10.0,
    batch_size: Annotated[int | None, typer.Option(help="Images in a batch")] = None,
    optimizer: Annotated[str, typer.Option(help="adam or sgd; default: the recipe's")] = "",
    weight_decay: Annotated[float | None, typer.Option(help="Weight decay coefficient")] = None,
    label_smoothing: Annotated[
        float | None, typer.Option(help="As of autocnn train; the loss is then of smoothed labels")
    ] = None,
    width: Annotated[float, typer.Option(help="Width multiplier")] = 1.0,
    build: Annotated[
        list[str] | None,
        typer.Option(help="Argument of your FUNCTION; may be repeated", metavar="NAME=VALUE"),
    ] = None,
    weights: Annotated[
        str, typer.Option(help="Start from these, as of autocnn train", metavar="FILE")
    ] = "",
    seed: Annotated[int, typer.Option(help="Seed of weights and shuffling")] = 0,
    engine: Annotated[
        str, typer.Option(help=f"What computes the gradients: {', '.join(INTERPRETATIONS)}")
    ] = "fast",
    dtype: Annotated[str, typer.Option(help="float32 or float64")] = "float32",
    limit: Annotated[int | None, typer.Option(help="Use only this many images")] = None,
    out: Annotated[
        str, typer.Option(help="File for a figure: .png, .svg or .pdf", metavar="FILE")
    ] = "",
    as_json: Json = False,
) -> None:
    """Suggest a learning rate: train a few batches, each at a higher rate than the one before.

    Prints the smoothed loss by the rate, and a rate to begin with: where the loss
    falls fastest, or a tenth of the rate with the least loss, whichever is smaller
    (Smith 2017). Nothing is kept; autocnn train NETWORK --rate uses it.

    \b
    Examples:
      autocnn lr-find lenet5 --data mnist
      autocnn lr-find tiny-cnn --data digits --optimizer sgd --out rates.svg
    """
    if out:
        figure_format(out)
    network, options = settings.network_name(network, False), settings.given_options(context)
    options.setdefault("rate", 1.0)  # so that no optimizer asks for one
    config, dataset = settings.new_config(network, options)
    model, _, start = runs.initialize(config)
    if config.weights is not None:
        start, told = runs.start_from(config, model, start)
        output.echo(visible(told), err=as_json)
    recipe = config.recipe

    def chosen(rate: Callable[[int], float]) -> Optimizer:
        return recipes.named_optimizer(recipe.optimizer, rate, recipe.weight_decay)

    with session.progress_bar(steps, 0) as bar:
        found = training.lr_find(
            start.params,
            dataset._replace(x_train=prepare(dataset.x_train, config.inputs)),
            model,
            start.state,
            chosen,
            low,
            high,
            steps,
            recipe.batch_size,
            config.seed,
            recipes.loss(recipe),
            on_step=lambda now: bar.update(),
        )
    if as_json:
        result = {"network": config.network, "data": config.data, "optimizer": recipe.optimizer}
        output.echo(strict_json(result | found._asdict() | {"figure": out or None}))
    else:
        output.echo(found.text())
    if out:  # after the answer, which a full disk must not keep back
        from autocnn.plots.rates import range_test

        save_figure(range_test(found), out)
        if not as_json:
            output.echo(visible(out))
    if found.suggestion is None:
        raise typer.Exit(1)
