"""Sweeps on Dask clusters: workers, schedulers and connections that go away lose no trial and
double none.
"""

import asyncio
import concurrent.futures
import contextlib
import functools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

import autocnn as ac
import reference
from autocnn.sweeps import cluster, pool
from tests.helpers import ROOT
from tests.sweeps.test_sweep import Here

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")

tiny_cnn = functools.partial(ac.models.tiny_cnn, nn=reference)
GRID = {"filters": [1, 2, 3, 4, 5, 6]}


def expected(**grid):
    return ac.sweep(tiny_cnn, grid or GRID, 1, Here(), epochs=1)


def stored(path):
    """How often each trial is in a results file."""
    lines = path.read_text().splitlines()[1:] if path.exists() else []
    return sorted(json.loads(line)["trial"]["filters"] for line in lines)


def wait_until(condition):
    while not condition():
        time.sleep(0.02)


def waits(folder, filters, nn=reference):
    """A network whose builder says that it runs, and for filters > 2 waits for the file "go"."""
    (folder / f"runs {filters} {os.getpid()}").touch()
    while filters > 2 and not (folder / "go").exists():
        time.sleep(0.02)
    return ac.models.tiny_cnn(filters=filters, nn=nn)


def dies(folder, filters, nn=reference):
    """A network whose builder kills its process: 13 always, 2 the first time."""
    if filters == 13 or (filters == 2 and not (folder / "died").exists()):
        (folder / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return ac.models.tiny_cnn(filters=filters, nn=nn)


# ----------------------------------------------------------------- in this process


class Client:
    """Stands for a client: runs what is submitted at once, and loses some of it."""

    def __init__(self, lost=(), statuses=("running",)):
        self.lost, self.statuses, self.sent, self.calls = set(lost), [*statuses], [], []
        self.scheduler = type("Scheduler", (), {"address": "tcp://here:1"})

    @property
    def status(self):
        return self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]

    def submit(self, call, function, *args, pure, key):
        assert not pure
        if not args:
            self.sent.append(Inner("finished", call(function)))
            return self.sent[-1]
        self.calls.append(args)
        if len(self.calls) in self.lost:
            function.status = "cancelled"
            return Inner("cancelled", None)
        return Inner("finished", call(function.value, *args))


class Inner:
    def __init__(self, status, value):
        self.status, self.value = status, value

    def add_done_callback(self, callback):
        callback(self)

    def result(self):
        if self.status == "cancelled":
            raise concurrent.futures.CancelledError
        return self.value


def test_the_data_are_sent_once_and_again_when_they_are_lost():
    client = Client()
    function = pool.Portable(lambda x: x + 1)
    assert sorted(pool.run_all(function, range(9), cluster.DaskExecutor(client))) == [
        (i, i + 1) for i in range(9)
    ]
    assert len(client.sent) == 1 and len(client.calls) == 9
    client = Client(lost={2, 3, 9})
    found = sorted(pool.run_all(function, range(9), cluster.DaskExecutor(client)))
    assert found == [(i, i + 1) for i in range(9)]
    assert len(client.calls) == 12 and 2 <= len(client.sent) <= 4


def test_a_scheduler_that_is_gone_ends_the_sweep(tmp_path):
    client = Client(statuses=[*["running"] * 2, "connecting", "closed"])
    seen = []
    with pytest.raises(pool.SchedulerLostError, match="scheduler at tcp://here:1 is gone"):
        seen.extend(pool.run_all(abs, range(9), cluster.DaskExecutor(client)))
    assert seen == []


def test_a_scheduler_is_looked_for_beside_a_running_event_loop():
    async def look():
        with pytest.raises(ValueError, match="no Dask scheduler answers") as raised:
            cluster._ping("nonsense://")
        assert "event loop" not in str(raised.value)

    # in a thread: a browser's test may have left a loop running in this one
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(look())).result()


@pytest.mark.parametrize(
    "address", ["nonsense://", pytest.param("tcp://127.0.0.1:9", marks=pytest.mark.slow)]
)
def test_no_scheduler_is_said_soon(command, tmp_path, address):
    asked = ("sweep", "tiny-cnn", "--grid", "filters=1", "--out", tmp_path / "out")
    code, stdout, stderr = command(*asked, "--scheduler", address)
    assert (code, stdout) == (2, "") and f"no Dask scheduler answers at {address}" in stderr
    assert not (tmp_path / "out").exists()


# ----------------------------------------------------------------- real clusters


@pytest.fixture
def a_taken_port():
    """Another scheduler of this machine has Dask's usual port for HTTP."""
    with socket.socket() as taken:
        with contextlib.suppress(OSError):  # it may be taken as it is
            taken.bind(("127.0.0.1", 8787))
            taken.listen()
        yield


@pytest.mark.slow
@pytest.mark.usefixtures("a_taken_port")
def test_the_same_bits_as_anywhere(tmp_path):
    """By the command's executor, by a client and by a client's own executor; with data."""
    data = ac.data.patterns()
    local = distributed.LocalCluster(n_workers=2, threads_per_worker=1, **cluster.NO_DASHBOARD)
    with local, cluster.dask(local.scheduler_address) as executor:
        out = tmp_path / "trials.jsonl"
        for kind in (executor, executor._client, executor._client.get_executor()):
            out.unlink(missing_ok=True)
            found = ac.sweep(tiny_cnn, GRID, 1, kind, data=data, epochs=1, out=out)
            assert found == ac.sweep(tiny_cnn, GRID, 1, Here(), data=data, epochs=1)
            assert stored(out) == GRID["filters"]


@pytest.mark.slow
@pytest.mark.usefixtures("a_taken_port")
@pytest.mark.parametrize("workers", [1, 2])
def test_killed_workers_lose_nothing_and_double_nothing(tmp_path, workers):
    grid, out = {"filters": [1, 13, 2, 3]}, tmp_path / "trials.jsonl"
    once = dask.config.set({"distributed.scheduler.allowed-failures": 0})
    with once, cluster.dask("local", workers) as executor:
        found = ac.sweep(functools.partial(dies, tmp_path), grid, 1, executor, epochs=1, out=out)
    assert [t["filters"] for t in found.failed] == [13]
    assert "times over" in found.failed[0]["error"]
    assert [t for t in found.trials if t["filters"] != 13] == expected(filters=[1, 2, 3]).trials
    assert stored(out) == [1, 2, 3]


class Processes:
    """A scheduler and a worker, each a process of its own."""

    def __init__(self, folder):
        file = folder / "scheduler.json"
        self.scheduler = self.start("scheduler", "--port", "0", "--scheduler-file", file)
        wait_until(lambda: file.exists() and file.stat().st_size)
        self.address = json.loads(file.read_text())["address"]
        self.worker = self.start_worker()

    def start_worker(self):
        """With threads enough for all trials: those that wait do not keep others from running."""
        return self.start("worker", self.address, "--nthreads", "8", "--no-nanny")

    def start(self, kind, *arguments):
        program = [sys.executable, "-m", f"distributed.cli.dask_{kind}", "--no-dashboard"]
        return subprocess.Popen(
            [*program, *map(str, arguments)],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in (self.scheduler, self.worker):
            process.kill()
            process.wait()


@pytest.fixture
def network(monkeypatch, tmp_path):
    """``autocnn sweep`` sweeps over networks that wait."""
    build = functools.partial(waits, tmp_path)
    monkeypatch.setattr("autocnn.cli.sweep._builder", lambda network, engine: build)


@pytest.mark.slow
def test_a_killed_scheduler_is_one_line_and_the_next_call_goes_on(
    tmp_path, command, monkeypatch, network
):
    monkeypatch.setattr(cluster, "RECONNECT", 1.0)
    out = tmp_path / "out" / "trials.jsonl"
    asked = ["sweep", "tiny-cnn", "--grid", "filters=1:4", "--seeds", "1", "--epochs", "1"]
    asked += ["--out", str(out.parent)]
    with Processes(tmp_path) as processes:

        def kill():
            wait_until(lambda: len(stored(out)) == 2)
            processes.scheduler.kill()

        threading.Thread(target=kill).start()
        code, stdout, err = command(*asked, "--scheduler", processes.address)
    assert (code, stdout) == (1, "")
    *notes, line = err.splitlines()
    assert line.startswith(f"autocnn: the Dask scheduler at {processes.address} is gone; ")
    assert len(notes) < 2 and all("has no workers yet" in note for note in notes)
    assert "the same command continues: autocnn sweep" in line
    assert stored(out) == [1, 2]
    (tmp_path / "go").touch()
    assert command(*asked, "--workers", "1")[0] == 0
    assert stored(out) == [1, 2, 3, 4]


@pytest.mark.slow
def test_a_worker_that_is_replaced(tmp_path):
    out = tmp_path / "trials.jsonl"
    with Processes(tmp_path) as processes:

        def replace():
            wait_until(lambda: list(tmp_path.glob("runs 3 *")))
            processes.worker.kill()
            processes.worker.wait()
            (tmp_path / "go").touch()
            processes.worker = processes.start_worker()

        threading.Thread(target=replace).start()
        with cluster.dask(processes.address) as executor:
            build = functools.partial(waits, tmp_path)
            found = ac.sweep(build, GRID, 1, executor, epochs=1, out=out)
    assert found == expected() and stored(out) == GRID["filters"]


class Proxy:
    """Passes connections on to an address, until they are cut."""

    def __init__(self, address):
        host, _, port = address.removeprefix("tcp://").partition(":")
        self.target, self.open = (host, int(port)), []
        self.server = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self.server.getsockname()[1]}"
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                near, _ = self.server.accept()
                far = socket.create_connection(self.target)
            except OSError:
                return
            self.open += [near, far]
            for a, b in ((near, far), (far, near)):
                threading.Thread(target=self.pass_on, args=(a, b), daemon=True).start()

    def pass_on(self, source, target):
        try:
            while part := source.recv(1 << 16):
                target.sendall(part)
        except OSError:
            pass
        finally:
            self.shut(source, target)

    @staticmethod
    def shut(*sockets):
        for one in sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def cut(self):
        self.shut(*self.open)

    def close(self):
        self.server.close()
        self.cut()
        for one in self.open:
            one.close()


@pytest.mark.slow
def test_a_connection_that_breaks_for_a_moment(tmp_path):
    out = tmp_path / "trials.jsonl"
    with Processes(tmp_path) as processes:
        proxy = Proxy(processes.address)

        def cut():
            wait_until(lambda: list(tmp_path.glob("runs 3 *")))
            proxy.cut()
            (tmp_path / "go").touch()

        threading.Thread(target=cut).start()
        with cluster.dask(proxy.address) as executor:
            build = functools.partial(waits, tmp_path)
            found = ac.sweep(build, GRID, 1, executor, epochs=1, out=out)
        proxy.close()
    assert found == expected() and stored(out) == GRID["filters"]
