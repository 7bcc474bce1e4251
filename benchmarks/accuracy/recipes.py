"""Accuracy of the shipped recipes on real images, beside what others report: ``python -m
benchmarks.accuracy.recipes [WORD ...]``.

Each row trains from scratch as ``autocnn train NETWORK --data DATA --seed SEED`` does, to the last
bit, and reports the validation accuracy after the last epoch: no epoch is picked afterwards. Words
select rows: ``lenet5 mnist``. Digits take a minute in all, a LeNet-5 ten to twenty minutes for each
seed.
"""

import argparse
import statistics
import sys
import time
import warnings

from tqdm import tqdm

import autocnn as ac
from autocnn.models.interpretations import interpretation
from autocnn.runs import preprocessing, recipes
from autocnn.text import table

__all__ = ["accuracy", "sklearn_accuracy"]

# network, data, width, seeds, the figure to compare with
ROWS = (
    ("lenet5", "mnist", 1.0, 2, "99.05 % (LeCun 1998)"),
    ("lenet5", "fashion-mnist", 1.0, 2, "91 % (goal)"),
    ("lenet5-1998", "mnist", 1.0, 1, "99.05 % (LeCun 1998)"),
    ("tiny-cnn", "digits", 1.0, 5, "MLPClassifier"),
    ("tiny-cnn", "digits", 3.0, 5, "MLPClassifier"),
    ("tiny-mlp", "digits", 1.0, 5, "MLPClassifier 18"),
)
SKLEARN = ((18,), (100,))  # the hidden units of TinyMLP, and scikit-learn's default


def accuracy(network, data_name, width=1.0, seed=0, nn=None, progress=False):
    """Train by the shipped recipe and return (number of parameters, validation accuracy after
    the last epoch).
    """
    recipe, data = recipes.recipe(network, data_name), ac.data.load(data_name)
    inputs = recipes.inputs(network, data.x_train.shape[1:])
    data = data._replace(
        x_train=preprocessing.prepare(data.x_train, inputs),
        x_val=preprocessing.prepare(data.x_val, inputs),
    )
    model = ac.models.build(network, len(data.classes), width, nn or interpretation("fast"))
    _, params, state = model.init((0, seed), data.x_train.shape[1:], "float32")
    run = ac.train(
        params,
        data,
        model,
        state,
        recipes.optimizer(recipe, -(-len(data.x_train) // recipe.batch_size)),
        recipe.epochs,
        recipe.batch_size,
        seed,
        snapshots=(),
        augment=recipes.augmentation(recipe, inputs.low),
        metric_subset=5000,
        on_epoch=(lambda now: print(_line(now.history), file=sys.stderr, flush=True))
        if progress
        else None,
    )
    return ac.trees.count(params), run.history["val_acc"][-1]


def sklearn_accuracy(hidden, seed):
    """Train scikit-learn's MLPClassifier, its other settings being the defaults, on the digits;
    as ``accuracy``.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    data = ac.data.load("digits")
    x, x_val = (part.reshape(len(part), -1) for part in (data.x_train, data.x_val))
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", ConvergenceWarning
        )  # more iterations change nothing that is seen here
        fitted = MLPClassifier(hidden, max_iter=600, random_state=seed).fit(x, data.y_train)
    parameters = sum(a.size for a in (*fitted.coefs_, *fitted.intercepts_))
    return parameters, fitted.score(x_val, data.y_val)


def _line(history):
    return "  ".join(f"{name} {values[-1]:.4g}" for name, values in history.items())


def _row(name, data, epochs, seeds, run, compared):
    start = time.perf_counter()
    found = [
        run(seed) for seed in tqdm(range(seeds), desc=f"{name} {data}", leave=False, disable=None)
    ]
    minutes = (time.perf_counter() - start) / 60 / seeds
    last = [accuracy for _, accuracy in found]
    each = " ".join(f"{100 * a:.2f}" for a in last)
    return (
        name,
        data,
        found[0][0],
        epochs,
        f"{statistics.mean(last):.2%}",
        each,
        compared,
        round(minutes, 2),
    )


HEADS = (
    "network",
    "data",
    "parameters",
    "epochs",
    "accuracy",
    "seeds 0, 1, ...",
    "to compare with",
    "min a seed",
)


def main():
    """Run the rows that are asked for and print each when it is done, then the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "words", nargs="*", help="rows that hold all of these words; all rows when left out"
    )
    parser.add_argument("--engine", default="fast", help="fast, autograd or reference")
    parser.add_argument("--seeds", type=int, help="seeds a row instead of the row's own number")
    arguments = parser.parse_args()
    nn, done = interpretation(arguments.engine), []
    jobs = []
    for network, data, width, seeds, compared in ROWS:
        name = network if width == 1 else f"{network} --width {width:g}"

        def run(seed, network=network, data=data, width=width):
            return accuracy(network, data, width, seed, nn, progress=data != "digits")

        jobs.append((name, data, recipes.recipe(network, data).epochs, seeds, run, compared))
    for hidden in SKLEARN:
        jobs.append(
            (
                f"MLPClassifier {hidden[0]}",
                "digits",
                "",
                5,
                lambda seed, h=hidden: sklearn_accuracy(h, seed),
                "",
            )
        )
    for name, data, epochs, seeds, run, compared in jobs:
        if all(word in f"{name} {data}".split() for word in arguments.words):
            done.append(_row(name, data, epochs, arguments.seeds or seeds, run, compared))
            print(*done[-1], sep=" | ", file=sys.stderr, flush=True)
    print(table(HEADS, done))


if __name__ == "__main__":
    main()
