"""A small run, whole and stopped, whose files tests damage, mix or remove."""

import json

import pytest
from PIL import Image
from typer.testing import CliRunner

from autocnn.cli import app

CALL = "train tiny-cnn --data patterns --limit 12 --epochs 5 --batch-size 6 --rate 0.01 --run"


class Figure:
    """Stands for a figure, which would take longer than all the rest."""

    def savefig(self, file, format, metadata):
        Image.new("L", (1, 1)).save(file, format)


def autocnn(*args):
    return CliRunner().invoke(app, [str(arg) for arg in args])


@pytest.fixture
def no_figures(monkeypatch):
    for name in ("curves", "confusion", "mistakes"):
        monkeypatch.setattr(f"autocnn.plots.training.{name}", lambda *args: Figure())


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A run stopped after three of five epochs, and the same one at its end."""
    root = tmp_path_factory.mktemp("damage")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("curves", "confusion", "mistakes"):
            patch.setattr(f"autocnn.plots.training.{name}", lambda *args: Figure())
        assert autocnn(*CALL.split(), root / "part", "--until", 3).exit_code == 0
        assert autocnn(*CALL.split(), root / "whole").exit_code == 0
    for folder in root.iterdir():
        for figure in folder.glob("*.png"):
            figure.unlink()
    return root / "part", root / "whole"


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".png"}


def flip(path, bit):
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def verified(folder):
    result = autocnn("verify", folder, "--json")
    found = json.loads(result.stdout)
    assert result.exit_code == (0 if found["whole"] else 1)
    return {row["file"]: row for row in found["files"] if row["ok"] is False}
