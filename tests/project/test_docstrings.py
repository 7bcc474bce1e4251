"""Every public name has a docstring, and ``help`` shows the ones that users call."""

import importlib
import inspect
import pkgutil
import pydoc

import pytest

import autocnn as ac
import reference

OPTIONAL = ("mpi4py", "dask", "sklearn", "onnx", "torch", "jax", "numba")


def modules():
    for package in (ac, reference):
        yield package.__name__
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            yield found.name


@pytest.mark.parametrize("name", list(modules()))
def test_public_names_have_docstrings(name):
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        if not str(error).partition("'")[2].startswith(OPTIONAL):
            raise
        pytest.skip(str(error))
    assert module.__doc__, name
    for public in getattr(module, "__all__", ()):
        value = getattr(module, public)
        if getattr(value, "__module__", "").startswith("autograd"):
            continue  # passed on as it is
        if inspect.isfunction(value) or inspect.isclass(value):
            assert value.__doc__ and len(value.__doc__) >= 5, f"{name}.{public}"


@pytest.mark.parametrize("name", [n for n in dir(ac) if not n.startswith("__")])
def test_what_dir_lists_is_there(name):
    assert getattr(ac, name) is not None


@pytest.mark.parametrize("value", [ac, ac.train, ac.evaluate, ac.trace, ac.summary, reference.conv])
def test_help_names_every_argument(value):
    text = pydoc.render_doc(value, renderer=pydoc.plaintext)
    if inspect.isfunction(value) and value.__module__.startswith("autocnn"):
        for argument in inspect.signature(value).parameters:
            assert text.count(argument) >= 2, argument
    assert len(text) > 300
