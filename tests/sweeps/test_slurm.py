"""Sweeps by jobs: submitit's local executors stand for Slurm, whose jobs are files and processes
too.
"""

import functools
import json
import os
import pickle
import signal

import pytest

import autocnn as ac
import reference
from autocnn.sweeps import pool, slurm
from tests.sweeps.test_sweep import Here

tiny_cnn = functools.partial(ac.models.tiny_cnn, nn=reference)
GRID = {"filters": [1, 2, 3, 4]}


class Job:
    def __init__(self, call):
        self.call, self.asked, self.was_cancelled = call, 0, False

    def done(self):
        self.asked += 1
        return self.asked > 1

    def result(self):
        return self.call()

    def cancel(self):
        self.was_cancelled = True


class Jobs:
    """Stands for submitit's executor: loses the jobs of some numbers."""

    def __init__(self, lost=()):
        self.lost, self.jobs, self.largest = lost, [], 0

    def submit(self, function, *args):
        pickled = pickle.dumps((function, args))
        self.largest = max(self.largest, len(pickled))
        is_lost = len(self.jobs) in self.lost

        def call():
            if is_lost:
                raise RuntimeError("Job 7 was cancelled.\nmore")
            function, args = pickle.loads(pickled)
            return function(*args)

        self.jobs.append(Job(call))
        return self.jobs[-1]


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(slurm, "PERIOD", 0.001)


def test_jobs_give_the_same_results_and_the_data_are_one_file(tmp_path):
    jobs, data, out = Jobs(), ac.data.patterns(), tmp_path / "trials.jsonl"
    found = ac.sweep(tiny_cnn, GRID, 1, jobs, data=data, epochs=1, out=out)
    assert found == ac.sweep(tiny_cnn, GRID, 1, Here(), data=data, epochs=1)
    assert len(jobs.jobs) == 4 and jobs.largest < 1000
    assert os.listdir(tmp_path) == ["trials.jsonl"]


def test_a_job_that_is_lost_runs_again_and_one_that_fails_does_not(tmp_path):
    jobs = Jobs(lost={1})
    found = ac.sweep(tiny_cnn, {"filters": [1, 2, 0]}, 1, jobs, epochs=1, out=tmp_path / "t")
    assert [t["error"] for t in found.failed] == [
        "ValueError: conv: filters must be an int, 1 or more; got 0"
    ]
    assert len(jobs.jobs) == 4
    jobs = Jobs(lost=range(9))
    found = ac.sweep(tiny_cnn, {"filters": [1]}, 1, jobs, epochs=1, out=tmp_path / "u")
    assert [t["error"] for t in found.failed] == [
        "LostTrialError: Job 7 was cancelled., 4 times over"
    ]


def test_so_many_jobs_at_a_time(tmp_path):
    jobs = Jobs()
    with slurm.JobExecutor(jobs, tmp_path, at_once=2) as executor:
        for number, _ in enumerate(pool.run_all(abs, range(9), executor)):
            assert len(jobs.jobs) <= number + 3


def test_jobs_are_cancelled_at_the_end(tmp_path):
    jobs = Jobs()
    with slurm.JobExecutor(jobs, tmp_path) as executor:
        executor._ended.set()
        executor.submit(abs, 3)
    assert jobs.jobs[0].was_cancelled and os.listdir(tmp_path) == []


def test_a_job_that_cannot_be_submitted_is_one_line(command, tmp_path, monkeypatch):
    class Refusing:
        def submit(self, *args):
            raise RuntimeError("sbatch: error: invalid partition\nmore")

    monkeypatch.setattr(
        slurm, "submitit_executor", lambda *args: slurm.JobExecutor(Refusing(), tmp_path / "jobs")
    )
    asked = ("sweep", "tiny-cnn", "--grid", "filters=1", "--executor", "slurm", "--out", tmp_path)
    code, out, err = command(*asked)
    assert (code, out) == (1, "")
    assert err.startswith("autocnn: a job cannot be submitted: sbatch: error: invalid partition; ")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    "options, words",
    [
        (["--executor", "pbs"], "no executor 'pbs'; choose from slurm, local-submitit"),
        (["--executor", "slurm", "--scheduler", "local"], "not both"),
    ],
)
def test_bad_calls_of_the_command(command, tmp_path, options, words):
    asked = ("sweep", "tiny-cnn", "--grid", "filters=1", "--out", tmp_path / "out")
    code, out, err = command(*asked, *options)
    assert (code, out) == (2, "") and words in err and not (tmp_path / "out").exists()


def test_slurm_that_is_not_here(tmp_path, monkeypatch):
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", "")
    with (
        pytest.raises(ValueError, match="slurm cannot be used here: "),
        slurm.submitit_executor("slurm", tmp_path),
    ):
        pass


def dies(folder, filters, nn=reference):
    """A network whose builder kills its process once, for filters=2."""
    if filters == 2 and not (folder / "died").exists():
        (folder / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return ac.models.tiny_cnn(filters=filters, nn=nn)


@pytest.mark.slow
def test_by_submitit_in_processes_of_which_one_is_killed(tmp_path):
    pytest.importorskip("submitit")
    build, out = functools.partial(dies, tmp_path), tmp_path / "trials.jsonl"
    with slurm.submitit_executor("local-submitit", tmp_path / "jobs", 2) as executor:
        found = ac.sweep(build, GRID, 1, executor, epochs=1, out=out)
    assert found == ac.sweep(tiny_cnn, GRID, 1, Here(), epochs=1)
    assert (tmp_path / "died").exists()
    lines = [json.loads(line)["trial"]["filters"] for line in out.read_text().splitlines()[1:]]
    assert sorted(lines) == GRID["filters"]
