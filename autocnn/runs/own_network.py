"""Networks of one's own, as FILE.py:NAME: a function in a Python file that returns a network.

    def build(classes, filters=8):                              # in net.py
        return nn.serial(nn.conv(filters, 3), nn.relu(), nn.flatten(), nn.dense(classes))

    build_own("net.py:build", 10, {"filters": 16}, fast)        # autocnn train net.py:build

A run remembers the file's absolute path and the SHA-256 of its text. The text itself is never run
from a run folder, whose files may come from anywhere.
"""

import hashlib
import inspect
import logging
import re
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from autocnn import layers
from autocnn.files import atomic_write
from autocnn.text import did_you_mean, visible
from reference.layer import Layer

__all__ = [
    "Source",
    "absolute_name",
    "build_own",
    "check_source",
    "interpreted",
    "is_own",
    "place",
    "save_source",
    "short_name",
    "source_of",
    "split",
]

LOG = logging.getLogger("autocnn.runs")
_FILES: set[str] = set()  # from which a network was built
_TOLD: set[str] = set()  # of those, the ones that are known to have changed


class Source(NamedTuple):
    """What a network was built from.

    file: SHA-256 of the file's bytes. network: SHA-256 of the network's words and options, "" for
    a network with layers that are not words of the vocabulary.
    """

    file: str
    network: str


def is_own(network: str) -> bool:
    """Whether a network is given by a file."""
    return bool(re.search(r"\.(py|ipynb)(:|$)", network))


def split(network: str) -> tuple[Path, str]:
    """Return (file, name of the function) of FILE.py:NAME. ValueError where one of them is missing.

    ``~`` is the home folder.
    """
    file, _, name = network.rpartition(":")
    if not file or not name.isidentifier():
        file = network.rstrip(":") if not name else network
        raise ValueError(
            f"name the function in the file that builds the network, such as {file}:build"
        )
    path = Path(file).expanduser()
    if not path.is_file():
        raise ValueError(f"there is no file {path}; a network of your own is FILE.py:FUNCTION")
    return path, name


def absolute_name(network: str) -> str:
    """Return FILE.py:NAME with the file's absolute path."""
    path, name = split(network)
    return f"{path.resolve()}:{name}"


def short_name(network: str) -> str:
    """Return a name for folders and titles: "net" for net.py:build, "net-small" for
    net.py:small; another network's own name.
    """
    if not is_own(network):
        return network
    file, _, name = network.rpartition(":")
    return Path(file).stem + ("" if name == "build" else f"-{name}")


def build_own(network: str, classes: int, options: dict[str, Any], nn: ModuleType) -> Layer:
    """Build a network of FILE.py:NAME in the interpretation ``nn``.

    NAME is a network, or a function that returns one, of words of any interpretation. The function
    is called with ``options`` by name; with the number of classes if it has an argument "classes",
    or one without a default; and with ``nn`` if it has an argument of that name. Layers of your
    own stay as they are.

    Raises ValueError in one line: for a file that is missing or cannot be imported, a name that it
    does not define, options that the function does not have, an exception of the function, which
    is named with its line, and for anything returned that is not a network.
    """
    from autocnn.gradcheck.loading import loaded  # which few runs need

    path, name = split(network)
    _FILES.add(str(path.resolve()))
    try:
        with loaded(path) as module:
            made = _called(path, name, module, classes, options, nn)
    except ValueError as error:
        if isinstance(error.__cause__, BaseException) and "cannot be imported" in str(error):
            raise ValueError(
                f"{path} cannot be imported: {_what(error.__cause__, path)}"
            ) from error.__cause__
        raise
    if not isinstance(made, Layer):
        returned = "is" if not callable(getattr(module, name)) else "returned"
        raise ValueError(
            f"{path}:{name} {returned} {_kind(made)}; it must return a network, such as "
            "autocnn.layers.serial(...)"
        )
    return interpreted(made, nn)


def _called(path, name, module, classes, options, nn):
    """Call the function; return what it returns, or the network that stands in its place."""
    known = {n: v for n, v in vars(module).items() if not n.startswith("_")}
    if name not in vars(module):
        here = [n for n, v in known.items() if getattr(v, "__module__", None) == module.__name__]
        listed = f"; it defines {', '.join(here)}" if here else ""
        raise ValueError(
            f"{path} defines no {name!r}{listed}{did_you_mean(name, here).rstrip('.')}"
        )
    build = vars(module)[name]
    if isinstance(build, Layer) or not callable(build):
        if options:
            raise ValueError(f"{path}:{name} is not a function and takes no --build options")
        return build
    arguments = _arguments(f"{path}:{name}", build, classes, options, nn)
    try:
        return build(**arguments)
    except (Exception, SystemExit) as error:
        raise ValueError(f"{path}:{name} failed: {_what(error, path)}") from error


def _arguments(
    what: str, build: Callable, classes: int, options: dict[str, Any], nn: ModuleType
) -> dict[str, Any]:
    """Choose the arguments for a call of ``build`` by name."""
    kinds = inspect.Parameter
    parameters = inspect.signature(build).parameters
    takes_all = any(p.kind is kinds.VAR_KEYWORD for p in parameters.values())
    named = {
        n: p for n, p in parameters.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    }
    unknown = [] if takes_all else [n for n in options if n not in named]
    if unknown:
        own = [n for n in named if n not in ("nn", "classes")]
        raise ValueError(
            f"{what} has no argument {unknown[0]!r}; it has {', '.join(named) or 'none'}"
            f"{did_you_mean(unknown[0], own).rstrip('.')}"
        )
    arguments = dict(options)
    if "nn" in named and "nn" not in arguments:
        arguments["nn"] = nn
    open_ones = [n for n, p in named.items() if p.default is kinds.empty and n not in arguments]
    if "classes" in named:
        arguments.setdefault("classes", classes)
    elif open_ones:
        arguments[open_ones[0]] = classes
    if missing := [n for n in open_ones if n not in arguments]:
        raise ValueError(f"{what} needs a value for {missing[0]}: --build {missing[0]}=VALUE")
    return arguments


def interpreted(model: Layer, nn: ModuleType) -> Layer:
    """Build the network in ``nn``; layers of one's own stay as they are."""
    word = getattr(nn, model.name, None) if _is_word(model) else None
    if word is None and nn.__name__ == "reference" and not model.is_by_hand:
        raise ValueError(
            f"the layer {model.name!r} of your own has no backward pass by hand, which the engine "
            "reference needs; use --engine autograd or fast"
        )
    if word is None:
        if not isinstance(model, layers.Layer) and nn.__name__ != "reference":
            raise ValueError(
                f"the layer {model.name!r} of your own is by hand; use --engine reference, or make "
                "it an autocnn.layers.Layer"
            )
        return model
    return word(*(interpreted(part, nn) for part in model.parts), **model.options)


def _is_word(model: Layer) -> bool:
    """Whether a layer was made by a word of the vocabulary."""
    return getattr(model.word, "__module__", "").partition(".")[0] in ("autocnn", "reference")


def source_of(network: str, model: Layer) -> Source:
    """Return the ``Source`` of a network that was just built from its file."""
    path, _ = split(network)
    file = hashlib.sha256(path.read_bytes()).hexdigest()
    return Source(file, _network_sum(model))


def check_source(network: str, model: Layer, source: Source) -> None:
    """Check a network that was built from its file against the ``Source`` of a run.

    A file that has changed is said in the log where the network that it builds is the same. A
    ValueError where it is another one, or has layers of its own, which may have changed.
    """
    now = source_of(network, model)
    if now.file == source.file:
        return
    path, _ = split(network)
    if now.network == source.network != "":
        if now.file not in _TOLD:
            _TOLD.add(now.file)
            LOG.warning(
                "%s has changed since the run began; the network that it builds has not", path
            )
        return
    why = "and builds another network now" if source.network and now.network else (
        "and the network has layers of its own, which may have changed"
    )  # fmt: skip
    raise ValueError(
        f"{path} has changed since the run began, {why}; put back the text as it was, which is in "
        f"the run folder as network{path.suffix}"
    )


def _network_sum(model: Layer) -> str:
    return hashlib.sha256(repr(model).encode()).hexdigest() if _is_all_words(model) else ""


def _is_all_words(model: Layer) -> bool:
    return _is_word(model) and all(_is_all_words(part) for part in model.parts)


def save_source(folder: Path, config: Any) -> None:
    """Write the text of a run's own network into its folder, as network.py, for people to read."""
    path, _ = split(config.network)
    atomic_write(Path(folder) / f"network{path.suffix}", path.read_bytes())


def place(error: BaseException) -> str | None:
    """Return the deepest place of an exception in the file of a network: "net.py, line 12"; None
    where it passed none.
    """
    frames = traceback.extract_tb(error.__traceback__)
    found = [f for f in frames if str(Path(f.filename).resolve()) in _FILES]
    return f"{found[-1].filename}, line {found[-1].lineno}" if found else None


def _what(error: BaseException, path: Path) -> str:
    """An exception of the file in one line, with its place."""
    if isinstance(error, SystemExit):
        text = f"it called sys.exit({'' if error.code is None else repr(error.code)})"
    else:
        first = next(iter(str(getattr(error, "msg", None) or error).splitlines()), "")
        text = type(error).__name__ + (f": {visible(first)}" if first else "")
    where = place(error)
    if isinstance(error, SyntaxError) and error.filename == str(path.resolve()):
        where = f"{path}, line {error.lineno}"
    return f"{text} ({where})" if where else text


def _kind(value: Any) -> str:
    if value is None or isinstance(value, bool | int | float | str):
        return f"{value!r:.40}"
    module = type(value).__module__.partition(".")[0]
    return f"a {type(value).__name__}{f' of {module}' if module != 'builtins' else ''}"
