"""What training takes is said before anything is allocated, and refused where it is not there."""

import pathlib

import pytest

import autocnn as ac
from autocnn.runs import memory

GB = 10**9


def need(name, shape, batch_size, optimizer="adam", dtype="float32"):
    return memory.needed(ac.models.build(name, 10), shape, batch_size, dtype, optimizer)


def test_the_estimate_follows_what_is_held():
    small = need("resnet50", (3, 64, 64), 16)
    # 23.5 million parameters, their two moments, and what a save holds of them; measured: 1.07 GB.
    assert 0.8 * GB < small < 1.4 * GB
    assert need("resnet50", (3, 64, 64), 16, "sgd") < small
    assert need("resnet50", (3, 64, 64), 16, dtype="float64") == 2 * small
    assert need("resnet50", (3, 224, 224), 64) > 6 * small  # activations grow, parameters do not
    assert need("tiny-cnn", (1, 8, 8), 32) < GB / 1000


@pytest.mark.parametrize("network", ["resnet50", "alexnet-2014", "vgg16", "densenet121"])
def test_networks_that_do_not_fit(network, monkeypatch, command, tmp_path):
    monkeypatch.chdir(tmp_path)
    model = ac.models.build(network, 3)
    shape = (3, 224, 224)
    arguments = (network, model, shape, 64, "float32", "adam")
    need = memory.needed(*arguments[1:])
    monkeypatch.setattr(memory, "available", lambda: need + 1)
    told = memory.check(*arguments)
    assert told.startswith(f"{network} with batches of 64 images of 3x224x224 takes about ")
    monkeypatch.setattr(memory, "available", lambda: need - 1)
    with pytest.raises(MemoryError, match=r"GB are free; (--batch-size \d+ would fit|a smaller)"):
        memory.check(*arguments)
    monkeypatch.setattr(memory, "available", lambda: None)
    assert memory.check(*arguments).endswith("of memory")


def test_training_says_so_and_allocates_nothing(monkeypatch, command, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(memory, "available", lambda: 1000)
    code, out, err = command("train", "tiny-cnn", "--data", "patterns", "--width", 1000)
    assert code == 1 and out == "" and list(tmp_path.iterdir()) == []
    assert err.startswith("autocnn: not enough memory: tiny-cnn with batches of 18 images of 1x8x8")
    assert err.count("\n") == 1


def test_small_networks_are_not_worth_a_word():
    model = ac.models.lenet5()
    assert memory.check("lenet5", model, (1, 28, 28), 64, "float32", "adam") is None


def test_what_is_free_is_read():
    free = memory.available()
    assert free is None or 10**6 < free < 10**14
    assert memory.gigabytes(1_340_000_000) == "1.3 GB" and memory.gigabytes(89_600_000) == "90 MB"


@pytest.mark.parametrize(
    "files",
    [
        {
            "memory.max": "4000",
            "memory.current": "3900",
            "memory.stat": "anon 9\ninactive_file 3500",
        },
        {
            "memory/memory.limit_in_bytes": "4000",
            "memory/memory.usage_in_bytes": "3900",
            "memory/memory.stat": "inactive_file 1\ntotal_inactive_file 3500",
        },
    ],
)
def test_a_groups_file_cache_is_free(files, monkeypatch):
    """The kernel counts cached files as used, and gives them back when they are needed."""
    files = {f"/sys/fs/cgroup/{name}": text for name, text in files.items()}
    files["/proc/meminfo"] = "MemTotal: 8000 kB\nMemAvailable: 5000 kB\n"

    def read_text(path):
        if str(path) not in files:
            raise FileNotFoundError(path)
        return files[str(path)]

    monkeypatch.setattr(pathlib.Path, "read_text", read_text)
    assert memory.available() == 3600
    files["/sys/fs/cgroup/memory.stat"] = files["/sys/fs/cgroup/memory/memory.stat"] = "?"
    assert memory.available() == 100
    files.clear()
    assert memory.available() is None
    files["/proc/meminfo"] = "MemFree: 5000 kB\n"  # of an old kernel
    assert memory.available() is None
