"""Data-parallel training by MPI: each rank computes the gradient of its share of every batch, and
an Allreduce adds them up.

    autocnn train lenet5 --data mnist --ranks 4      # goes on with 3 when one is killed
    mpiexec -n 4 autocnn train lenet5 --data mnist

    # in a script that mpiexec starts
    run = ac.train(params, data, model=mpi.shard(model), state=state)

The training loop is the usual one and runs on every rank, with the same seed and so the same
batches; only ``loss_and_grad`` communicates. A batch of n images is cut into n_r consecutive ones
for each rank r, and a step uses

    loss = sum_r n_r / n loss_r,    gradient = sum_r n_r / n gradient_r

(sums of weights instead of counts, where images have weights), which are those of the whole batch
up to the order of a sum: in float64 the parameters agree with those of one process to 1e-10. Two
things differ, as they do in PyTorch's DistributedDataParallel (Li et al. 2020, arXiv:2006.15704):
batch norm normalises each share by its own statistics, the running ones being averaged over the
ranks, and each share has a dropout mask from a key of its own. Every rank computes the metrics on
all images, which takes as long as on one.

Before each step the ranks exchange a status (``autocnn.training.agreement``): a rank that fails
ends all others, and ranks that have other images, parameters, settings or versions end too.

How it would scale, from steps and Allreduces measured on one loaded core (``python -m
benchmarks.speed.ranks``; gradients by hand, float32): LeNet-5 takes 38 ms for 128 images and 0.9 ms
for 2, and sums 247 KB of gradients; among 64 ranks on 10 Gbit/s that is 1.4 ms, more than the step,
so that 64 ranks sharing one batch of 128 would be about 17 times as fast as one, and 62 times where
each has 128 images. ResNet-50 takes 4.2 s for 8 images of 224 and sums 102 MB, 0.16 s: 62 times, of
64.
"""

import atexit
import functools
import os
import signal
import sys
from types import TracebackType
from typing import Any

import numpy as np

from autocnn.deprecation import renamed_names
from autocnn.keys import child
from autocnn.losses import Loss, cross_entropy
from autocnn.processes import end_with_parent
from autocnn.training import agreement, joining
from autocnn.training.agreement import RankEnded, World
from autocnn.trees import count, leaves, tree_map, unflatten

__all__ = ["PARENT", "RankEnded", "Sharded", "World", "rank", "shard", "world"]

# How MPICH and its derivatives, and Open MPI, tell a process the number of ranks. Slurm's srun says
# it to each of its tasks, and sets PMIX_RANK where the tasks can find each other by PMIx.
SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE")
TASKS, TASK = "SLURM_NTASKS", "PMIX_RANK"
PARENT = "AUTOCNN_PARENT"  # the process that a rank of ``autocnn train --ranks`` ends with
INTERRUPTED = 128 + signal.SIGINT  # the exit code, as a shell has it
SAMPLE = 4096  # pixels of a batch that ranks compare at every step


@functools.cache
def world() -> World:
    """Return the ``World`` that mpiexec has started this process in.

    On several ranks, an uncaught exception on one, or its end while the others train, ends all of
    them from now on, and its end before now those that come here: they would wait for it forever.
    Raises ValueError when mpi4py is missing
    there, or finds no MPI library, or where srun started several tasks that MPI does not join.
    """
    if parent := os.environ.pop(PARENT, ""):  # which is not that of programs that this one starts
        end_with_parent(int(parent))
    tasks = _number(TASKS) if os.environ.get(TASK) else 1
    if max(tasks, *map(_number, SIZES)) == 1:
        return World(None, 0, 1)
    # without a server to find each other by, MPI would end the process with words of its own
    if tasks > 1 and not any(name.startswith("PMIX_SERVER_URI") for name in os.environ):
        raise ValueError(_apart(tasks, 1))
    try:
        MPI = joining.join()
    except (ImportError, RuntimeError):
        raise ValueError(
            "mpiexec started several processes, but mpi4py is missing, or finds no MPI library: "
            "pip install 'autocnn[mpi]'"
        ) from None
    started = World(MPI.COMM_WORLD, MPI.COMM_WORLD.rank, MPI.COMM_WORLD.size)
    if started.size < tasks:
        raise ValueError(_apart(tasks, started.size))

    def end_all(
        kind: type[BaseException], error: BaseException, traceback: TracebackType | None
    ) -> None:
        sys.__excepthook__(kind, error, traceback)
        name = f"rank {started.rank} of {started.size}"
        interrupted = issubclass(kind, KeyboardInterrupt)
        message = f"{name} ended with {kind.__name__}; the others end too"
        agreement.end_job(started, message, INTERRUPTED if interrupted else 1)
        if interrupted:  # Python would kill itself by SIGINT, maybe while the others still end
            sys.exit(INTERRUPTED)

    sys.excepthook = end_all
    atexit.register(agreement.come_to_end, started)  # before MPI ends, which mpi4py registered
    return started


def _apart(tasks: int, joined: int) -> str:
    return (
        f"srun started {tasks} tasks, but MPI joins {joined} of them, so that each would train "
        "alone: start with mpiexec, or with srun --mpi of a kind that this MPI has"
    )


def _number(name: str) -> int:
    """Return what an environment variable says, 1 where it says no number."""
    value = os.environ.get(name, "")
    return max(int(value), 1) if value.isdecimal() else 1


def rank() -> int:
    """Return this process's rank; only rank 0 prints and writes files."""
    return world().rank


def shard(model: Any, comm: Any = None) -> Any:
    """Return the model with a ``loss_and_grad`` that all ranks compute together.

    comm: an mpi4py communicator. Default: the one of all processes that mpiexec started. On a
    single rank this returns the model itself.
    """
    ranks = world() if comm is None else World(comm, comm.rank, comm.size)
    return model if ranks.size == 1 else Sharded(model, ranks)


class Sharded:
    """A model whose ``loss_and_grad`` is computed by all ranks, each of which must call it with the
    same arguments.

    All else is the model's own: ``apply`` and ``vjp`` take the whole batch on the rank that calls
    them.
    """

    def __init__(self, model: Any, world: World):
        """Share ``model`` among the ranks of ``world``."""
        self.model, self.world, self.has_begun = model, world, False

    def __getattr__(self, name: str) -> Any:
        if name == "model":  # not yet set, while the object is unpickled
            raise AttributeError(name)
        return getattr(self.model, name)

    def loss_and_grad(
        self,
        params: Any,
        state: Any,
        batch: tuple,
        key: Any = None,
        train: bool = True,
        loss: Loss = cross_entropy,
    ) -> tuple[float, Any, Any]:
        """Return (loss, grads, state) of the whole batch, the same bits on every rank.

        Raises ValueError on all ranks when their batches or numbers of parameters differ, or in the
        first step the parameters; ``RankEnded`` when another rank has failed.
        """
        comm, rank, size = self.world
        n = len(batch[0])
        mine = slice(n * rank // size, n * (rank + 1) // size)
        share = tuple(part[mine] for part in batch)
        # Of the images, or with weights of their sum.
        fraction = len(share[0]) / n if len(batch) == 2 else float(share[2].sum() / batch[2].sum())
        if fraction:
            result = self.model.loss_and_grad(params, state, share, child(key, rank), train, loss)
        else:  # more ranks than images
            zero = leaves(params)[0][1].dtype.type(0)
            result = (zero, tree_map(np.zeros_like, params), state)
        summands = _flat(tree_map(lambda a: a * fraction, result))
        total = np.empty_like(summands)
        agreement.exchange(self.world, self._compared(params, state, batch, key, train))
        comm.Allreduce(summands, total)
        return _unflat(result, total)

    def check_same(self, parts: dict[str, Any]) -> None:
        """Raise ValueError on all ranks unless all have the same ``parts``, and versions.

        parts: {name: tree of arrays, or anything that has a ``repr``}.
        """
        agreement.exchange(self.world, {"the versions": agreement.versions()} | parts)

    def check_similar(self, name: str, tree: Any) -> None:
        """Raise ValueError on all ranks unless all have the same tree, to rounding."""
        agreement.check_similar(self.world, name, tree)

    def _compared(self, params: Any, state: Any, batch: tuple, key: Any, train: bool) -> dict:
        """What must be the same on all ranks: a sample of it, since this is done at every step."""
        x, y, *weights = batch
        flat = np.ravel(x)
        parts = {
            "the number of images in a batch": len(x),
            "the number of parameters": count(params),
            "the dtype of the parameters": str(leaves(params)[0][1].dtype),
            "the labels of a batch": np.asarray(y),
            "the images of a batch": flat[:: max(1, len(flat) // SAMPLE)],
            "the weights of a batch": tuple(map(np.asarray, weights)),
            "the key of a step": (key, train),
        }
        if not self.has_begun:
            parts |= {"the parameters": params, "the network's state": state}
        self.has_begun = True
        return parts


def _flat(tree: Any) -> np.ndarray:
    """All leaves of a tree of float arrays in one array, for one message."""
    return np.concatenate([np.ravel(leaf) for _, leaf in leaves(tree)])


def _unflat(tree: Any, flat: np.ndarray) -> Any:
    """A tree like ``tree`` with the numbers of ``flat``."""
    old = [leaf for _, leaf in leaves(tree)]
    parts = np.split(flat, np.cumsum([np.size(leaf) for leaf in old])[:-1])
    return unflatten(
        tree, (part.reshape(np.shape(leaf)) for part, leaf in zip(parts, old, strict=True))
    )


__getattr__ = renamed_names(
    __name__,
    {
        "abort": "autocnn.training.agreement.end_job",
        "job": "autocnn.cli.ranks.on_all_ranks",
    },
)
