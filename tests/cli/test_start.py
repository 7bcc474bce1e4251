"""The script ``autocnn`` before it knows what to do: a Ctrl-C ends it in silence."""

import signal
import subprocess
import sys
import tomllib

import pytest

from tests.helpers import ROOT

PROGRAM = """
import os, signal, sys
class Sending:
    def find_spec(self, name, *_):
        if name == {name!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Sending())
sys.argv[1:] = ["--version"]
{before}
from autocnn.__main__ import main
main()
"""
IGNORE = "signal.signal(signal.SIGINT, signal.SIG_IGN)"


def run(name, before=""):
    code = PROGRAM.format(name=name, before=before)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)


@pytest.mark.skipif(sys.platform == "win32", reason="processes do not end by signals")
@pytest.mark.parametrize("name", ["numpy", "autocnn.trees", "autocnn.cli", "autocnn.cli.errors"])
def test_ctrl_c_while_modules_are_imported_ends_it_in_silence(name):
    found = run(name)
    assert (found.returncode, found.stdout, found.stderr) == (-signal.SIGINT, "", "")


def test_an_ignored_ctrl_c_stays_ignored():
    found = run("autocnn.cli", IGNORE)
    assert found.returncode == 0 and found.stdout.startswith("autocnn ") and not found.stderr


def test_the_script_begins_there():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"autocnn": "autocnn.__main__:main"}
