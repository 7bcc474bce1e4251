import collections
import importlib
import json
import pathlib
import signal
import zlib

import numpy as np
import pytest

import autocnn as ac
from autocnn.processes import STOP_SIGNALS

pytest.register_assert_rewrite("tests.helpers")
from tests.helpers import INTERPRETATIONS  # noqa: E402
from tests.page.browser import browser, exported  # noqa: E402, F401

# Families of tests of one kind of which `make test` runs one in so many, by a checksum of the name.
SAMPLED = {
    "layers/test_agreement.py": 4,
    "fast/test_fast_agreement.py": 4,
    "ops/test_ops_torch.py": 2,
    "gradcheck/test_bug_catalogue.py": 3,
    "gradcheck/test_gradcheck_false_positives.py": 3,
    "gradcheck/test_gradcheck_naming.py": 2,
    "gradcheck/kernel/test_kernel_catalogue.py": 2,
    "gradcheck/test_cases.py": 3,
    "gradcheck/stress/test_stress.py": 3,
    "gradcheck/trees/test_modules.py": 3,
    "fast/test_fast_conv.py": 2,
}
# Tests that take seconds each; `make test-all` runs them.
SECONDS = (
    "test_large_memory.py::test_full_size",
    "test_modules.py::test_random_modules",
    "test_kernel_catalogue.py::test_wrong_kernels_are_caught_and_named",
    "test_notebooks.py::test_it_runs_and_says_what_is_stored[01_quick_start]",
    "test_notebooks.py::test_it_runs_and_says_what_is_stored[07_your_own_layer]",
    "test_mpi.py::test_the_command",
    "test_gradcheck_witnesses.py::test_one_entry_of_24000",
    "test_check_cli.py::test_timeout_of_an_import",
    "test_kernel.py::test_jax_custom_rules",
    "test_orders.py::test_jax_forward",
    "test_chapter.py::test_one_section_by_both_paths",
    "test_sweep.py::test_a_sweep_that_is_killed_goes_on",
    "test_styles.py::test_jax_custom_vjp",
)


def pytest_configure():
    """Undo what ``nohup`` and shells that start jobs in the background do: processes that the tests
    start would ignore SIGINT or SIGHUP as well, and the tests send these.
    """
    for number in STOP_SIGNALS:
        if signal.getsignal(number) is signal.SIG_IGN:
            is_interrupt = number == signal.SIGINT
            signal.signal(number, signal.default_int_handler if is_interrupt else signal.SIG_DFL)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Mark as slow what `make test` leaves to `make test-all`, and run the tests that compile
    kernels first, one after the other: workers of pytest-xdist take tests from the end of each
    other's lists, so that one of them compiles and the rest do not.
    """
    for item in items:
        file, name = item.nodeid.partition("tests/")[2].partition("::")[::2]
        share = SAMPLED.get(file, 1)
        left_out = zlib.crc32(name.encode()) % share != 0
        if left_out or any(place in item.nodeid for place in SECONDS):
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: item.get_closest_marker("kernels") is None)


def pytest_terminal_summary(terminalreporter):
    """Say why tests were skipped, in one line for each reason."""
    reasons = collections.Counter(
        report.longrepr[2].removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", [])
    )
    for reason, count in reasons.most_common():
        terminalreporter.write_line(f"skipped {count}: {reason}")


@pytest.fixture(scope="session", autouse=True)
def identity():
    """Give all runs one identity, so that runs alike leave files alike."""

    def new_identity():
        """Return what no run has by chance."""
        return "0123456789abcdef" * 2

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("autocnn.runs.config_file.new_identity", new_identity)
        yield


@pytest.fixture(params=INTERPRETATIONS, ids=str)
def nn(request):
    """Each interpretation of the vocabulary in turn."""
    return INTERPRETATIONS[request.param]


@pytest.fixture(params=["numpy", pytest.param("numba", marks=pytest.mark.kernels)])
def kernels(request):
    """Run the fast interpretation with each set of kernels in turn. The value is its name."""
    if request.param == "numba":
        pytest.importorskip("numba")
    with ac.fast.using(request.param):
        yield request.param


@pytest.fixture(scope="session")
def golden():
    """The chapter's results at full precision."""
    return json.loads((pathlib.Path(__file__).parent / "golden" / "chapter25.json").read_text())


@pytest.fixture(scope="session")
def patterns():
    """The chapter's data set of three classes."""
    return ac.data.patterns()


@pytest.fixture
def tiny(patterns):
    """TinyCNN as the chapter starts it, and one batch: (model, params, state, batch)."""
    model = ac.models.tiny_cnn()
    _, params, state = model.init(3, (1, 8, 8))
    return model, params, state, (patterns.x_train[:18], patterns.y_train[:18])


@pytest.fixture
def generator():
    """A source of random numbers that starts alike in every test."""
    return np.random.default_rng(20)


@pytest.fixture(autouse=True)
def signal_handlers():
    """Give signals back the handlers that they had before a test: the command line leaves them with
    their default action, since its process is to end.
    """
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    yield
    for number, handler in before.items():
        if signal.getsignal(number) is not handler:
            signal.signal(number, handler)


@pytest.fixture
def command(monkeypatch, capsys):
    """Run the command line in this process: command(*arguments) -> (exit code, stdout, stderr)."""

    def run(*arguments, columns=100):
        monkeypatch.setattr("sys.argv", ["autocnn", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", str(columns))
        with pytest.raises(SystemExit) as stop:
            importlib.import_module("autocnn.cli").main()
            raise SystemExit(0)
        out, err = capsys.readouterr()
        return stop.value.code or 0, out, err

    return run
