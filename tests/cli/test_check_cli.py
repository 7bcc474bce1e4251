"""`autocnn check` on files as people write them: what it finds, suggests, prints and survives."""

import json
import os
import subprocess
import sys
import textwrap

import pytest
from typer.testing import CliRunner

from autocnn.cli import app

RIGHT = """
import numpy as np

def double(x):
    return 2 * x, lambda dy: 2 * dy
"""
WRONG = RIGHT.replace("2 * dy", "3 * dy")
PAIR = """
import numpy as np

def conv_forward_naive(x, w, b, conv_param):
    return conv_param["stride"] * (x @ w + b), (x, w, conv_param)

def conv_backward_naive(dout, cache):
    x, w, conv_param = cache
    dout = conv_param["stride"] * dout
    return dout @ w.T, x.T @ dout, dout.sum(0)
"""


def write(folder, name, text):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))
    return path


def check(*words):
    """Run the command in this process."""
    state = os.getcwd(), dict(os.environ), sys.path[:], set(sys.modules), sys.meta_path[:]
    result = CliRunner().invoke(app, ["check", *map(str, words)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert state[:3] == (os.getcwd(), dict(os.environ), sys.path)
    assert sys.meta_path == state[4]
    return result


def command(*words, folder=None, timeout=60):
    """Run the command in a process of its own, as a shell does."""
    code = "from autocnn.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, "check", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=folder,
        check=False,
    )


def one_line(text):
    lines = text.strip().splitlines()
    assert len(lines) == 1, text
    return lines[0]


def test_exit_codes(tmp_path):
    assert check(f"{write(tmp_path, 'a.py', RIGHT)}:double", "--shape", "x=3,4").exit_code == 0
    assert check(f"{write(tmp_path, 'b.py', WRONG)}:double", "--shape", "x=3,4").exit_code == 1
    assert check(f"{tmp_path / 'c.py'}:double", "--shape", "x=3,4").exit_code == 2


EXITS = [
    "import sys; sys.exit(0)",
    "quit()",
    "exit(0)",
    "raise SystemExit",
    "import os; os._exit(0)",
    "from os import _exit; _exit(0)",
    "import os; os.execv('/bin/true', ['true'])",
    "raise KeyboardInterrupt",
]


@pytest.mark.parametrize("leave", EXITS)
@pytest.mark.parametrize("where", ["file", "forward", "backward"])
def test_code_that_leaves_is_not_ok(tmp_path, leave, where):
    text = {
        "file": f"{leave}\n{RIGHT}",
        "forward": f"def double(x):\n    {leave}\n",
        "backward": f"def double(x):\n    def back(dy):\n        {leave}\n    return 2 * x, back\n",
    }[where]
    result = check(f"{write(tmp_path, 'leaving.py', text)}:double", "--shape", "x=3,4")
    name = "KeyboardInterrupt" if "Keyboard" in leave else "exit"
    if where == "backward":
        assert result.exit_code == 1
        assert "backward raises" in result.output and name.lower() in result.output.lower()
    else:
        assert result.exit_code == 2
        assert name in one_line(result.output)


@pytest.mark.parametrize("leave", ["import sys; sys.exit(0)", "import os; os._exit(0)"])
def test_exit_in_a_real_process(tmp_path, leave):
    path = write(tmp_path, "leaving.py", f"def double(x):\n    {leave}\n")
    done = command(f"{path}:double", "--shape", "x=3")
    assert (done.returncode, done.stdout) == (2, "")
    assert "sys.exit(0)" in one_line(done.stderr)


@pytest.mark.parametrize(
    "crash, words",
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
        ("import os; os.abort()", "SIGABRT"),
        ("import ctypes; ctypes.CDLL(None)._exit(0)", "exit code 0"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "out of memory?"),
        ("raise MemoryError", "MemoryError"),
    ],
)
def test_isolate_survives_a_crash(tmp_path, crash, words):
    path = write(tmp_path, "crashing.py", f"def double(x):\n    {crash}\n")
    done = command(f"{path}:double", "--shape", "x=3", "--isolate")
    assert (done.returncode, done.stdout) == (2, "")
    assert words in one_line(done.stderr)


def test_isolate_gives_the_same_report(tmp_path):
    path = write(tmp_path, "b.py", WRONG + "\nprint('noise')\n")
    plain, apart = (
        command(f"{path}:double", "--shape", "x=3,4", "--json", *more)
        for more in ([], ["--isolate"])
    )
    reports = [json.loads(done.stdout) for done in (plain, apart)]
    for report in reports:
        report.pop("seconds")
    assert plain.returncode == apart.returncode == 1
    assert reports[0] == reports[1]


@pytest.mark.parametrize(
    "body, stage",
    [
        ("import time; time.sleep(60)", "forward (first call)"),
        ("while True: pass", "forward (first call)"),
        (
            "\n    def back(dy):\n        while True: pass\n    return 2 * x, back",
            "backward (first call)",
        ),
        ("sum(range(10**13))", "cannot be interrupted"),
    ],
)
def test_timeout(tmp_path, body, stage, monkeypatch):
    monkeypatch.setattr("autocnn.gradcheck.isolation.GRACE", 1.0)
    path = write(tmp_path, "slow.py", f"def double(x):\n    {body}\n")
    result = check(f"{path}:double", "--shape", "x=3", "--timeout", "3")
    assert result.exit_code == 2
    assert stage in one_line(result.output) and "after 3 s" in result.output


def test_timeout_of_an_import(tmp_path):
    path = write(tmp_path, "slow.py", "import time\ntime.sleep(60)\n" + RIGHT)
    result = check(f"{path}:double", "--shape", "x=3", "--timeout", "3")
    assert "the import of" in one_line(result.output)
    assert check(f"{path}:double", "--timeout", "0").exit_code == 2


NOISE = """
import ctypes, os, subprocess, sys, numpy as np
print("from print")
os.write(1, b"from os.write\\n")
sys.__stdout__.write("from __stdout__\\n")
ctypes.CDLL(None).puts(b"from C")
subprocess.run(["echo", "from a child"])

def double(x):
    print("forward prints")
    os.write(1, b"forward writes\\n")
    return 2 * x, lambda dy: (os.write(1, b"backward writes\\n"), 2 * dy)[1]
"""


@pytest.mark.parametrize("more", [[], ["--isolate"]])
def test_json_is_not_mixed_with_output(tmp_path, more):
    path = write(tmp_path, "noisy.py", NOISE)
    done = command(f"{path}:double", "--shape", "x=3", "--json", *more)
    assert done.returncode == 0
    assert json.loads(done.stdout)["ok"]
    for words in ("from print", "from os.write", "from __stdout__", "from C", "from a child"):
        assert words in done.stderr


def test_closed_descriptors_do_not_lose_the_report(tmp_path):
    text = "import os, sys\nos.close(1)\nsys.stdout = None\n" + RIGHT
    done = command(f"{write(tmp_path, 'closing.py', text)}:double", "--shape", "x=3", "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["ok"]


@pytest.mark.parametrize("name", ["numpy", "json", "typing", "scipy", "wave"])
def test_a_file_does_not_replace_a_module_of_its_name(tmp_path, name):
    write(tmp_path, f"{name}.py", "import numpy as np\n" + RIGHT)
    write(tmp_path, "other.py", f"import {name}\nassert {name}.__doc__\n" + RIGHT)
    before = sys.modules.get(name)
    for file in (name, "other"):
        result = check(f"{tmp_path / file}.py:double", "--shape", "x=3,4")
        assert result.exit_code == 0, result.output
    assert before is None or sys.modules[name] is before
    assert str(tmp_path) not in str(getattr(sys.modules.get(name), "__file__", ""))


def test_imports_within_functions(tmp_path):
    write(tmp_path, "neighbour.py", "factor = 2\n")
    text = """
    def double(x):
        from neighbour import factor
        def back(dy):
            import neighbour
            return neighbour.factor * dy
        return factor * x, back
    """
    result = check(f"{write(tmp_path, 'late.py', text)}:double", "--shape", "x=3")
    assert result.exit_code == 0, result.output
    assert not {"neighbour", "late"} & set(sys.modules)


@pytest.mark.parametrize(
    "line", ["from .core import factor", "from pack.core import factor", "import pack.core as c"]
)
@pytest.mark.parametrize("init", [True, False])
def test_a_file_of_a_package(tmp_path, monkeypatch, line, init):
    if line.startswith("from .") and not init:
        line = "from core import factor"
    if init:
        write(tmp_path, "pack/__init__.py", "")
    else:
        monkeypatch.chdir(tmp_path)
    write(tmp_path, "pack/core.py", "factor = 2\n")
    path = write(tmp_path, "pack/layers.py", f"{line}\n{RIGHT}")
    result = check(f"{path}:double", "--shape", "x=3")
    assert result.exit_code == 0, result.output
    assert not {"pack", "pack.core", "pack.layers", "layers", "core"} & set(sys.modules)


def test_two_files_of_one_name(tmp_path):
    for folder, text, code in (("a", RIGHT, 0), ("b", WRONG, 1), ("a", RIGHT, 0)):
        write(tmp_path / folder, "helpers.py", text)
        path = write(tmp_path / folder, "net.py", "from helpers import double\n")
        assert check(f"{path}:double", "--shape", "x=3").exit_code == code


def test_an_error_at_import_is_one_line(tmp_path):
    for text, words in (
        ("import nothing_of_this_name", "ModuleNotFoundError"),
        ("def f(:", "SyntaxError"),
        ("raise ValueError('a\\nb')", "ValueError: a"),
    ):
        result = check(f"{write(tmp_path, 'bad.py', text)}:f", "--shape", "x=3")
        assert result.exit_code == 2 and words in one_line(result.output)


def test_dict_arguments(tmp_path):
    path = write(tmp_path, "layers.py", PAIR)
    shapes = ["--shape", "x=3,4", "--shape", "w=4,5", "--shape", "b=5"]
    for name in ("conv", "conv_forward_naive", "conv_forward", "conv_naive", "conv_backward_naive"):
        result = check(f"{path}:{name}", *shapes, "--arg", 'conv_param={"stride": 2}')
        assert result.exit_code == 0, result.output
    result = check(f"{path}:conv", *shapes, "--arg", "conv_param={'stride': 2}")
    assert result.exit_code == 0, result.output
    assert "--arg conv_param" in one_line(
        check(f"{path}:conv", *shapes, "--arg", "conv_param={stride: 2}").output
    )
    assert "NAME=VALUE" in one_line(check(f"{path}:conv", "--arg", "conv_param").output)


def test_the_suggested_call_repeats_the_options_and_works(tmp_path):
    path = write(tmp_path, "my layers.py", PAIR)
    given = ["--shape", "x=3,4", "--seed", "7", "--json"]
    line = one_line(check(f"{path}:conv", *given).output)
    assert "--shape x=3,4" in line and "--seed 7" in line and "--json" in line
    assert """--arg conv_param='{"stride": 1}'""" in line
    path = write(tmp_path, "one.py", PAIR.replace("(x, w, b, ", "(x, b, w, ").replace("@ w", "* w"))
    line = one_line(check(f"{path}:conv", "--shape", "x=3,4").output)
    assert "also needs b, w, conv_param" in line


@pytest.mark.parametrize(
    "parameter, use, hint",
    [
        ("bn_param", "bn_param['mode']", """--arg bn_param='{"mode": "train"}'"""),
        ("opts", "opts.get('p', 0.25)", """--arg opts='{"p": 0.25}'"""),
        ("params", "params['W1'] + params['b1']", "--shape params.W1=3,4 --shape params.b1=4"),
        ("stride", "stride", "--arg stride=1"),
        ("labels", "labels", "--shape labels=3:4"),
    ],
)
def test_hints_by_what_the_source_reads(tmp_path, parameter, use, hint):
    text = f"def f(x, {parameter}):\n    {use}\n    return x, lambda dy: dy\n"
    path = write(tmp_path, "hints.py", text)
    assert hint in one_line(check(f"{path}:f", "--shape", "x=3,4").output)


def test_arrays_in_a_dict(tmp_path):
    text = """
    def loss(params, X):
        return (X @ params["W"]).sum(), {"params": {"W": X.T @ (X @ params["W"] * 0 + 1)}}
    """
    path = write(tmp_path, "net.py", text)
    result = check(f"{path}:loss", "--shape", "params.W=4,5", "--shape", "X=3,4")
    assert result.exit_code == 0, result.output


def test_a_whole_file(tmp_path):
    text = (
        PAIR
        + WRONG
        + """
double_shapes = {"x": (3, 4)}

class Scale:
    def __init__(self, factor=3.0):
        self.factor = factor
    def forward(self, x):
        return self.factor * x
    def backward(self, dy):
        return self.factor * dy

class Layer:
    def forward(self, x):
        raise NotImplementedError
    def backward(self, dy):
        raise NotImplementedError
"""
    )
    path = write(tmp_path, "layers.py", text)
    result = check(path, "--shape", "x=3,4")
    assert result.exit_code == 1
    lines = result.output.strip().splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["conv_forward_naive", "double", "Scale"]
    assert "not checked" in lines[0] and "--arg conv_param=" in lines[0]
    assert "WRONG" in lines[1] and "scale" in lines[1]
    assert " ok " in lines[2] and len(lines) == 4
    assert lines[3].endswith("1 ok, 1 WRONG, 1 not checked")
    whole = json.loads(check(path, "--shape", "x=3,4", "--json").stdout)
    assert [c["verdict"] for c in whole["checks"]] == ["not checked", "WRONG", "ok"]
    path = write(tmp_path, "b.py", PAIR)
    shapes = ["--shape", "x=3,4", "--shape", "w=4,5", "--shape", "b=5"]
    assert check(path, "--shape", "x=3,4").exit_code == 2
    assert check(path, *shapes, "--arg", "conv_param={'stride': 2}").exit_code == 0
    assert "NAME" in one_line(check(write(tmp_path, "c.py", "x = 1\n")).output)


@pytest.mark.parametrize("leave", ["import sys; sys.exit(0)", "import os; os._exit(0)"])
def test_a_whole_file_that_leaves(tmp_path, leave):
    text = f"def f_forward(x):\n    {leave}\n\ndef f_backward(dy, cache):\n    return dy\n"
    result = check(write(tmp_path, "leaving.py", text), "--shape", "x=3")
    assert result.exit_code == 2 and "sys.exit(0)" in result.output


def test_classes_take_their_arguments(tmp_path):
    text = """
    import numpy as np
    class Dense:
        def __init__(self, n_in, n_out):
            self.w = np.random.default_rng(0).standard_normal((n_in, n_out))
        def forward(self, x):
            self.x = x
            return x @ self.w
        def backward(self, dy):
            self.dw = self.x.T @ dy
            return dy @ self.w.T
    """
    path = write(tmp_path, "dense.py", text)
    line = one_line(check(f"{path}:Dense", "--shape", "x=3,4").output)
    assert "--shape x=3,4 --arg n_in=4 --arg n_out=4" in line
    result = check(f"{path}:Dense", "--shape", "x=3,4", "--arg", "n_in=4", "--arg", "n_out=5")
    assert result.exit_code == 0, result.output


def notebook(folder, *cells):
    cells = [{"cell_type": "code", "source": c.splitlines(keepends=True)} for c in cells]
    path = folder / "work.ipynb"
    path.write_text(json.dumps({"cells": cells, "nbformat": 4}))
    return path


def test_notebooks(tmp_path):
    path = notebook(
        tmp_path,
        "%matplotlib inline\n!ls\nimport numpy as np",
        "%%bash\necho hello",
        "raise OSError('no network')",
        "%%time\ndef double(x):\n    def back(dy):\n        return dy[0]\n    return 2 * x, back",
        "np.zeros?",
    )
    result = check(f"{path}:double", "--shape", "x=3,4")
    assert result.exit_code == 1, result.output
    assert "OSError: no network" in one_line(check(f"{path}:triple", "--shape", "x=3").output)
    path = notebook(tmp_path, "import numpy as np", RIGHT)
    assert check(f"{path}:double", "--shape", "x=3,4").exit_code == 0
    path.write_text("{}")
    assert "notebook" in one_line(check(f"{path}:double", "--shape", "x=3").output)


def test_file_state_is_put_back(tmp_path):
    text = f"""
    import os, sys, warnings, random
    import numpy as np
    os.chdir("/")
    os.environ["AUTOCNN_TEST"] = "1"
    sys.path.insert(0, "/nowhere")
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    np.set_printoptions(precision=1)
    np.random.seed(0); random.seed(0)
    {RIGHT.replace(chr(10), chr(10) + "    ")}
    """
    import random
    import warnings

    import numpy as np

    def state():
        return (
            warnings.filters[:], np.geterr(), np.get_printoptions(), random.getstate(),
            np.random.get_state()[1].tolist(),  # noqa: NPY002
        )  # fmt: skip

    before = state()
    result = check(f"{write(tmp_path, 'rude.py', text)}:double", "--shape", "x=3")
    assert result.exit_code == 0, result.output
    assert state() == before


def test_a_layer_of_torch_tensors_takes_the_arrays_of_the_command_line(tmp_path):
    pytest.importorskip("torch")
    text = """
    import torch

    class Gate:
        def forward(self, x, w):
            self.x, self.w, self.s = x, w, torch.sigmoid(x)
            return self.s * w

        def backward(self, dy):
            return dy * self.w * self.s * (1 - self.s), (dy * self.s).sum(0)
    """
    path = write(tmp_path, "gate.py", text)
    result = check(f"{path}:Gate", "--shape", "x=3,4", "--shape", "w=4")
    assert result.exit_code == 0, result.output
    assert check(path, "--shape", "x=3,4", "--shape", "w=4").exit_code == 0


def test_a_rule_of_jax_is_found_and_its_two_functions_are_no_pair(tmp_path):
    pytest.importorskip("jax")
    text = """
    import jax
    import jax.numpy as jnp

    @jax.custom_vjp
    def scaled(x, w):
        return jnp.tanh(x) * w

    def scaled_fwd(x, w):
        t = jnp.tanh(x)
        return t * w, (t, w)

    def scaled_bwd(residual, g):
        t, w = residual
        return g * w * (1 - t * t), (g * t).sum(0)

    scaled.defvjp(scaled_fwd, scaled_bwd)
    """
    path = write(tmp_path, "rules.py", text)
    result = check(path, "--shape", "x=3,4", "--shape", "w=4")
    assert result.exit_code == 0, result.output
    assert "scaled " in result.output and "scaled_fwd" not in result.output
    compiled = write(tmp_path, "compiled.py", f"{text}\n    fast = jax.jit(scaled)\n")
    result = check(f"{compiled}:fast", "--shape", "x=3,4", "--shape", "w=4")
    assert result.exit_code == 0, result.output
