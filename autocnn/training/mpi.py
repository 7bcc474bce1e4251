"""Data-parallel training by MPI: every rank differentiates its share of each batch, and an
Allreduce averages the gradients.

    mpiexec -n 4 autocnn train lenet5 --data mnist

    # in a script that mpiexec starts
    run = ac.train(params, data, model=mpi.shard(model), state=state)

The training loop is the usual one and runs on every rank, with the same seed and so the same
batches; only ``loss_and_grad`` knows of the others. A batch of n images is cut into runs of
neighbours, n_r on rank r, and what a step uses is

    loss = sum_r n_r / n loss_r,    gradient = sum_r n_r / n gradient_r

(sums of weights in the place of numbers, where images have weights), which is the whole batch's, up
to the order of a sum: in float64 the parameters are those of one process to 1e-10 and better. Two
things differ, as they do in PyTorch's DistributedDataParallel (Li et al. 2020, arXiv:2006.15704):
batch norm normalises each share by its own statistics, the running ones being averaged over the
ranks, and dropout draws each share's mask from a key of its own. Metrics are computed by every rank
on all images, which takes as long as on one.

How it would scale, from steps and Allreduces measured on one loaded core (``python -m
benchmarks.speed.ranks``; gradients by hand, float32): LeNet-5 takes 38 ms for 128 images and 0.9 ms for
2, and sums 247 KB of gradients; among 64 ranks on 10 Gbit/s that is 1.4 ms, more than the step, so
that 64 ranks sharing one batch of 128 would be about 17 times as fast as one, and 62 times where
each has 128 images. ResNet-50 takes 4.2 s for 8 images of 224 and sums 102 MB, 0.16 s: 62 times, of
64.
"""

import functools
import os
import sys
import time
from typing import Any, NamedTuple

import numpy as np

from autocnn.deprecation import renamed_names
from autocnn.keys import child
from autocnn.trees import leaves, tree_map, unflatten

__all__ = ["World", "abort", "rank", "shard", "world"]

SIZES = (
    "PMI_SIZE",
    "OMPI_COMM_WORLD_SIZE",
)  # how MPICH and its kin, and Open MPI, tell a process that it is not alone


class World(NamedTuple):
    """The communicator (None for a process on its own), this process's rank in it, and the
    number of ranks.
    """

    comm: Any
    rank: int
    size: int


@functools.cache
def world():
    """Return the ``World`` that mpiexec has started this process in. ValueError when mpi4py is
    missing there.

    On many ranks, an exception that nobody catches ends all of them from then on: the others would
    wait for ever.
    """
    if max(int(os.environ.get(name, 1)) for name in SIZES) == 1:
        return World(None, 0, 1)
    try:
        from mpi4py import MPI
    except ImportError:
        raise ValueError(
            "mpiexec started several processes, but mpi4py is missing: pip install 'autocnn[mpi]'"
        ) from None
    found = World(MPI.COMM_WORLD, MPI.COMM_WORLD.rank, MPI.COMM_WORLD.size)

    def last_words(kind, error, traceback):
        sys.__excepthook__(kind, error, traceback)
        abort(
            found,
            f"rank {found.rank} of {found.size} ended with {kind.__name__}; the others are ended too",
            1,
        )

    sys.excepthook = last_words
    return found


def rank():
    """This process's rank; only rank 0 tells the user anything and writes files."""
    return world().rank


def abort(world: World, message: str, code: int) -> None:
    """Print a message on stderr and end all ranks with an exit code.

    A rank other than 0 waits for half a second first: of an error on every rank, rank 0 then prints
    the message and ends the others before they repeat it.
    """
    if world.rank:
        time.sleep(0.5)
    if message:
        print(message, file=sys.stderr, flush=True)
    world.comm.Abort(code)


def shard(model, comm=None):
    """Return the model with a ``loss_and_grad`` that is shared among the ranks of ``comm``
    (mpiexec's when left out).

    On a single rank it is the model itself.
    """
    found = world() if comm is None else World(comm, comm.rank, comm.size)
    return model if found.size == 1 else Sharded(model, found)


class Sharded:
    """A model whose ``loss_and_grad`` is computed by all ranks together, each of which must call it
    with the same arguments.

    Everything else is the model's own: ``apply`` and ``vjp`` take the whole batch on whichever rank
    calls them.
    """

    def __init__(self, model, world):
        """Share ``model`` among the ranks of ``world``."""
        self.model, self.world = model, world
        self.init, self.apply, self.vjp, self.forward = (
            model.init,
            model.apply,
            model.vjp,
            model.forward,
        )
        self.name, self.options, self.parts = model.name, model.options, model.parts

    def loss_and_grad(self, params, state, batch, key=None, train=True):
        """Return (loss, grads, state) of the whole batch, the same bits on every rank."""
        comm, me, size = self.world
        n, weights = len(batch[0]), batch[2:]
        mine = slice(n * me // size, n * (me + 1) // size)
        share = (
            float(weights[0][mine].sum() / weights[0].sum())
            if weights
            else (mine.stop - mine.start) / n
        )
        if share:
            found = self.model.loss_and_grad(
                params, state, tuple(part[mine] for part in batch), child(key, me), train
            )
        else:  # more ranks than images
            found = (leaves(params)[0][1].dtype.type(0), tree_map(np.zeros_like, params), state)
        return _sum(comm, tree_map(lambda a: a * share, found))


def _sum(comm, tree):
    """Sum a tree of float arrays over the ranks, all leaves in one message."""
    flat = [leaf for _, leaf in leaves(tree)]
    buffer = np.concatenate([np.ravel(leaf) for leaf in flat])
    total = np.empty_like(buffer)
    comm.Allreduce(buffer, total)
    ends = np.cumsum([leaf.size for leaf in flat])[:-1]
    return unflatten(
        tree,
        (part.reshape(leaf.shape) for part, leaf in zip(np.split(total, ends), flat, strict=True)),
    )


__getattr__ = renamed_names(__name__, {"job": "autocnn.cli.ranks.on_all_ranks"})
