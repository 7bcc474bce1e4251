"""The command line on machines that lack something: streams, a home folder, a terminal that can do
more than print, a locale, a folder for temporary files, the right to write beside the package.
"""

import os
import subprocess
import sys

import pytest

from tests.helpers import ROOT

posix = pytest.mark.skipif(os.name != "posix", reason="closes file descriptors as a shell does")
SUMMARY = ["summary", "tiny-cnn"]
TRAIN = ["train", "tiny-cnn", "--data", "patterns", "--limit", "30", "--epochs", "1", "--run"]


def run(*arguments, cwd, shell=None, without=(), text=True, **env):
    """Run the command line in a process of its own. shell: redirections, such as ">&-"."""
    environment = {k: v for k, v in (os.environ | env).items() if k not in without}
    environment |= {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    command = [sys.executable, "-m", "autocnn", *map(str, arguments)]
    if shell is not None:
        command = ["sh", "-c", f'exec "$@" {shell}', "sh", *command]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=text)


@posix
@pytest.mark.parametrize(
    "closed", [">&-", *(pytest.param(s, marks=pytest.mark.slow) for s in ("2>&-", ">&- 2>&- <&-"))]
)
def test_training_with_closed_streams(tmp_path, closed):
    done = run(*TRAIN, tmp_path / "run", cwd=tmp_path, shell=closed)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "history.csv").read_text().count("\n") == 3
    assert ("validation" in done.stdout) == (closed == "2>&-")
    assert "Traceback" not in done.stderr


@posix
@pytest.mark.slow
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&- <&-"])
@pytest.mark.parametrize(
    "arguments",
    [
        ["--version"],
        ["data"],
        ["exercise"],
        SUMMARY,
        ["chapter", "--sections", "25.4", "--engine", "reference", "--out", "c"],
        ["summary", "no-such-network"],
    ],
    ids=" ".join,
)
def test_other_commands_with_closed_streams(tmp_path, closed, arguments):
    done = run(*arguments, cwd=tmp_path, shell=closed)
    assert done.returncode == (2 if arguments[-1] == "no-such-network" else 0)
    assert "Traceback" not in done.stdout + done.stderr


SETTINGS = {
    "a dumb terminal": {"TERM": "dumb", "COLUMNS": "40"},
    "no colours": {"NO_COLOR": "1"},
    "an ASCII locale": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "ASCII pipes": {"PYTHONIOENCODING": "ascii"},
    "no folder for temporary files": {"TMPDIR": "/nonexistent"},
    "an empty PMI_SIZE": {"PMI_SIZE": ""},
}


@pytest.mark.parametrize(
    "name",
    [
        name if "ASCII pipes" in name else pytest.param(name, marks=pytest.mark.slow)
        for name in SETTINGS
    ],
)
def test_settings_of_the_environment(tmp_path, name):
    done = run(*SUMMARY, cwd=tmp_path, text=False, **SETTINGS[name])
    assert done.returncode == 0, done.stderr
    assert b"\x1b" not in done.stdout + done.stderr
    if name.startswith(("an ASCII", "ASCII")):
        assert done.stdout.isascii()
    if "COLUMNS" in SETTINGS[name]:
        assert max(map(len, done.stdout.decode().splitlines())) <= 40


@posix
@pytest.mark.slow
def test_a_user_without_a_home_folder(tmp_path):
    done = run(*TRAIN, tmp_path / "run", cwd=tmp_path, without=("HOME", "XDG_CACHE_HOME"))
    assert done.returncode == 0, done.stderr


@posix
@pytest.mark.slow
def test_a_folder_with_spaces_and_letters_beyond_ascii(tmp_path):
    folder = tmp_path / "my runs é 山"
    folder.mkdir()
    assert run(*TRAIN, folder / "run 1", cwd=folder).returncode == 0
    done = run("evaluate", "run 1", cwd=folder)
    assert done.returncode == 0, done.stderr


@posix
@pytest.mark.slow
def test_files_of_a_strict_umask_belong_to_the_user_alone(tmp_path):
    command = f'umask 077; "{sys.executable}" -m autocnn {" ".join(TRAIN)} strict'
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    assert subprocess.run(["sh", "-c", command], cwd=tmp_path, env=env).returncode == 0
    modes = {path.stat().st_mode & 0o077 for path in (tmp_path / "strict").rglob("*")}
    assert modes == {0}


def test_what_an_older_version_left_beside_the_package_hides_nothing(tmp_path):
    """Its compiled kernels, which pip does not remove: a folder without __init__.py. An editable
    install is a path (pyproject.toml, package-dir), after site-packages, and wins all the same.
    """
    left = tmp_path / "site-packages" / "autocnn" / "fast" / "__pycache__"
    left.mkdir(parents=True)
    (left / "kernels.nbi").write_bytes(b"")
    code = f"import sys; sys.path[:0] = [{str(tmp_path / 'site-packages')!r}, {str(ROOT)!r}]\n"
    code += "sys.argv[1:] = ['--version']\nfrom autocnn.cli import main\nmain()"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert 'package-dir = { "" = "." }' in (ROOT / "pyproject.toml").read_text()
