"""Import a file or notebook for the time of a check, and leave nothing behind."""

import contextlib
import importlib
import importlib.machinery
import importlib.util
import json
import linecache
import os
import sys
import types
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from autocnn.gradcheck.protection import describe, is_own_exception, set_stage

__all__ = ["loaded"]

#: Installed packages that a neighbouring file of the same name must not replace.
_LIBRARIES = {
    "numpy", "scipy", "autograd", "matplotlib", "numba", "llvmlite", "torch", "jax", "jaxlib",
    "pandas", "sklearn", "PIL", "pytest", "typer", "click", "rich", "autocnn",
}  # fmt: skip
_PROJECT_FILES = ("pyproject.toml", "setup.py", "setup.cfg", ".git")


@contextlib.contextmanager
def loaded(path: Path) -> Iterator[types.ModuleType]:
    """Import the file `path` (.py or .ipynb) as a module for the ``with`` block.

    Inside the block it can import its neighbours, its own package and what lies in the working
    directory, also from within functions; the standard library and the scientific libraries win
    over files of their names. Afterwards sys.modules, sys.path and the import system are as before.
    Raises ValueError when the file does not exist or cannot be imported.
    """
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    if path.suffix not in (".py", ".ipynb"):
        raise ValueError(f"{path} is not a Python file: its name must end in .py or .ipynb")
    file = path.resolve()
    roots = _roots(file)
    before, search, finders = dict(sys.modules), sys.path[:], sys.meta_path[:]
    sys.meta_path.insert(0, _Neighbours(roots))
    sys.path += [root for root in roots if root not in sys.path]
    importlib.invalidate_caches()
    try:
        yield _import(path, file)
    finally:
        sys.path[:] = search
        sys.meta_path[:] = finders
        _forget_modules(before, roots)


class _Neighbours:
    """Finds top-level modules in the author's folders, before the installed ones of that name."""

    def __init__(self, roots: list[str]):
        self.roots = roots

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        top = name.partition(".")[0]
        if path is not None or top in sys.stdlib_module_names or top in _LIBRARIES:
            return None
        return importlib.machinery.PathFinder.find_spec(name, self.roots, target)


def _package(file: Path) -> tuple[Path, str]:
    """(the folder above the outermost package that the file is part of, its dotted name)."""
    names, folder = [file.stem], file.parent
    while (folder / "__init__.py").is_file() and folder.name.isidentifier():
        names.insert(0, folder.name)
        folder = folder.parent
    return folder, ".".join(names)


def _roots(file: Path) -> list[str]:
    """Folders from which the file may import: its own, that of its package, the working directory,
    and the project's root and src folder."""
    folders = [file.parent, _package(file)[0]]
    with contextlib.suppress(OSError):
        folders.append(Path.cwd())
    project = next(
        (p for p in file.parents if any((p / name).exists() for name in _PROJECT_FILES)), None
    )
    if project is not None:
        folders += [project, project / "src"]
    return list(dict.fromkeys(str(folder) for folder in folders))


def _import(path: Path, file: Path) -> types.ModuleType:
    set_stage(f"the import of {path}")
    try:
        module = (_import_notebook if file.suffix == ".ipynb" else _import_file)(file)
    except BaseException as error:
        if is_own_exception(error):
            raise
        set_stage("")
        raise ValueError(f"{path} cannot be imported: it {describe(error)}") from error
    set_stage("")
    return module


def _import_file(file: Path) -> types.ModuleType:
    dotted = _package(file)[1]
    top = dotted.partition(".")[0]
    if "." in dotted and _may_be_called(top):
        module = importlib.import_module(dotted)
        if getattr(module, "__file__", None) and Path(str(module.__file__)).resolve() == file:
            return module
    return _execute(_name_for(file), file)


def _may_be_called(name: str) -> bool:
    return name.isidentifier() and name not in sys.stdlib_module_names and name not in _LIBRARIES


def _name_for(file: Path) -> str:
    """The module's name: the file's own unless another module has it."""
    name = file.stem
    free = _may_be_called(name) and name not in sys.modules
    return name if free else f"checked_{name}"


def _execute(name: str, file: Path) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError("it is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickles of the file look themselves up there
    spec.loader.exec_module(module)
    return module


def _import_notebook(file: Path) -> types.ModuleType:
    """Run the code cells in order. A cell that fails (a plot, a download) is passed over, unless
    none succeeds."""
    os.environ.setdefault("MPLBACKEND", "Agg")  # figures are not shown
    try:
        cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
        sources = ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]
    except (ValueError, KeyError, TypeError) as error:
        raise SyntaxError("it is not a notebook of format 4") from error
    name = _name_for(file)
    module = types.ModuleType(name)
    module.__file__ = str(file)
    sys.modules[name] = module
    texts = [_without_magics(source) for source in sources]
    lines = [line + "\n" for text in texts for line in text.split("\n")]
    # So that tracebacks and inspect.getsource find the cells' lines in the joined source.
    linecache.cache[str(file)] = (sum(map(len, lines)), None, lines, str(file))
    start, failures = 0, []
    for number, text in enumerate(texts, 1):
        try:
            code = compile("\n" * start + text, str(file), "exec")
            exec(code, vars(module))
        except BaseException as error:
            if is_own_exception(error):
                raise
            failures.append(f"code cell {number} {describe(error)}")
        start += text.count("\n") + 1
    if failures and len(failures) == len(texts):
        raise ImportError(failures[0])
    vars(module)["__failed_cells__"] = failures
    return module


def _without_magics(source: str) -> str:
    """The cell without IPython's own lines (%magic, !command, help?), line numbers kept."""
    lines = source.split("\n")
    first = next((line for line in lines if line.strip()), "")
    if first.startswith("%%") and first.split()[0] not in ("%%time", "%%timeit", "%%capture"):
        return "\n" * (len(lines) - 1)  # another language, or a file to be written
    kept = []
    for line in lines:
        body = line.lstrip()
        magic = body.startswith(("%", "!")) or (body.endswith("?") and not body.startswith("#"))
        kept.append(line[: len(line) - len(body)] + "pass" if magic else line)
    return "\n".join(kept)


def _forget_modules(before: dict[str, types.ModuleType], roots: list[str]) -> None:
    """Drop the author's modules that were imported, and put back those that were replaced."""
    own = tuple(root.rstrip(os.sep) + os.sep for root in roots)
    for name, module in list(sys.modules.items()):
        if name in before:
            if module is not before[name]:
                sys.modules[name] = before[name]
            continue
        file = str(getattr(module, "__file__", None) or "")
        paths = getattr(module, "__path__", ())  # torch.classes answers to every name
        places = [file, *map(str, paths if isinstance(paths, Iterable) else ())]
        installed = "site-packages" in file or name.partition(".")[0] in before
        if any(f"{p}{os.sep}".startswith(own) for p in places if p) and not installed:
            del sys.modules[name]
    for name, module in before.items():
        sys.modules.setdefault(name, module)
