"""Execute the notebooks and keep what they print: ``make notebooks``, or ``python
notebooks/execute.py 02 08`` for those whose names begin so.

Each is executed in a process of its own, and replaces the stored one only when all of its cells ran
and said something new: an error or Ctrl-C changes nothing, nor does another duration.
"""

import copy
import os
import pathlib
import re
import subprocess
import sys
import time

FOLDER = pathlib.Path(__file__).parent
ENVIRONMENT = {"COLUMNS": "100", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(FOLDER.parent)}
NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d*)?(?:e[-+]?\d+)?")
HYPHEN = re.compile(r"(?<=\w)- (?=\w)")
# Durations, and to how many digits a sum happens to agree, differ from run to run and from machine
# to machine.
UNSTEADY = re.compile(r"[\d.]+ (s|digits)\b|\bexact\b")
# Cells with this tag print numbers that depend on how a machine rounds; only their words are
# compared.
ROUNDING = "rounding"


def executed(notebook):
    """Return the notebook as it is after its cells ran, from top to bottom."""
    from nbclient import NotebookClient
    from nbconvert.preprocessors import CoalesceStreamsPreprocessor

    fresh = copy.deepcopy(notebook)
    resources = {"metadata": {"path": str(FOLDER)}}
    NotebookClient(fresh, timeout=300, record_timing=False, resources=resources).execute()
    return CoalesceStreamsPreprocessor().preprocess(fresh, {})[0]


def difference(before, after):
    """Say what the outputs of two cells say differently; None when it is the same.

    That is words, or, unless the cell is tagged ``ROUNDING``, numbers by more than six digits and
    1e-9. Images say nothing.
    """
    numbers = ROUNDING not in before.metadata.get("tags", [])
    return text_difference(said(before), said(after), numbers)


def said(cell):
    """What a cell's outputs say in text, stderr included."""
    text = ""
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        if output.output_type == "stream":
            text += output.text  # may arrive in pieces, cut anywhere
        elif "image/png" not in data:
            text += f"\n{data.get('text/markdown') or data.get('text/plain') or output}\n"
    return text


def text_difference(before, after, numbers):
    """Say where two texts differ in words or, with ``numbers``, in numbers; None: nowhere."""
    before, after = (UNSTEADY.sub("~", text) for text in (before, after))
    words = [" ".join(NUMBER.sub("#", text).split()) for text in (before, after)]
    words = [HYPHEN.sub("-", text) for text in words]  # a line may break there, or not
    if words[0] != words[1]:
        return f"words differ: {before!r} became {after!r}"
    if numbers:
        for pair in zip(NUMBER.findall(before), NUMBER.findall(after), strict=True):
            old, new = (float(number.replace(",", "")) for number in pair)
            if abs(new - old) > max(1e-6 * abs(old), 1e-9):
                return f"{pair[0]} became {pair[1]} in {after!r}"
    return None


def _images(cell):
    return [output.get("data", {}).get("image/png") for output in cell.get("outputs", [])]


def _is_new(before, after):
    return (
        before.get("execution_count") != after.get("execution_count")
        or [output.output_type for output in before.get("outputs", [])]
        != [output.output_type for output in after.get("outputs", [])]
        or _images(before) != _images(after)
        or difference(before, after) is not None
    )


def _store(path):
    """Execute the notebook at ``path`` and replace it if a cell says something new."""
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    fresh = executed(notebook)
    if not any(_is_new(*pair) for pair in zip(notebook.cells, fresh.cells, strict=True)):
        print("as stored")
        return
    scratch = path.with_suffix(f".{os.getpid()}.part")
    try:
        nbformat.write(fresh, scratch)
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)
    print("stored anew")


def main() -> int:
    """Execute the notebooks that the arguments name, all by default. Returns an exit code."""
    names = tuple(sys.argv[1:]) or ("",)
    paths = [path for path in sorted(FOLDER.glob("*.ipynb")) if path.name.startswith(names)]
    failed = 0
    for i, path in enumerate(paths, 1):
        print(f"{i} of {len(paths)}  {path.stem:28}", end="  ", flush=True)
        start = time.perf_counter()
        # In a session of its own: Ctrl-C reaches this process alone.
        process = subprocess.Popen(
            [sys.executable, __file__, "--store", path],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | ENVIRONMENT,
            start_new_session=True,
        )
        try:
            out, err = process.communicate()
        except KeyboardInterrupt:
            process.terminate()
            process.communicate()
            print("stopped; this one and the following are as before")
            return 130
        print(out.strip() or "FAILED", f"({time.perf_counter() - start:.0f} s)", flush=True)
        if process.returncode:
            failed += 1
            print(err, flush=True)
    return bool(failed)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--store"]:
        _store(pathlib.Path(sys.argv[2]))
    else:
        sys.exit(main())
