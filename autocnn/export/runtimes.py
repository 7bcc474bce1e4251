"""Networks run by another library: their ONNX graph, made in memory, by onnxruntime or OpenVINO.

    outputs = export.predictor("openvino", model, params, state, (1, 28, 28))
    logits = outputs(x)                                            # (N, 1, 28, 28) -> (N, K)

Both only predict: there are no gradients and no activations of inner layers.
"""

import contextlib
import importlib
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np

from autocnn.export.onnx import OPSET, to_onnx
from autocnn.fast.threadpool import num_threads
from reference import validate

__all__ = ["predictor"]


def predictor(
    runtime: str, model: Any, params: Any, state: Any, shape: tuple[int, ...], opset: int = OPSET
) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function of images (N, *shape) that computes the outputs (N, K) in evaluation mode.

    runtime: "onnxruntime" or "openvino". model, params, state: a network of any interpretation and
    its trees, whose values are copied. shape: of one image, (C, H, W). The function takes any
    number of images, and computes in float32 on as many threads as ``ac.fast.threads()`` says now.

    Raises ImportError with the command that installs what is missing, and ValueError for a network
    that has no ONNX graph, or that the runtime cannot run; the function does for images that are
    not finite floats of that shape.
    """
    if runtime not in _LOADERS:
        raise ValueError(f"there is no runtime {runtime!r}; the runtimes are {', '.join(_LOADERS)}")
    library, shape = _import(runtime), tuple(shape)
    validate.call(model, params, state, np.zeros((1, *shape), np.float32))
    try:
        graph = to_onnx(model, params, state, shape, opset=opset).SerializeToString()
    except ValueError as error:
        raise ValueError(f"{runtime} runs ONNX graphs, and {error}") from error
    try:
        compute = _LOADERS[runtime](library, graph, num_threads())
    except MemoryError:
        raise
    except Exception as error:  # both have exceptions of their own for what they have no code for
        why = str(error).strip().splitlines()[0]
        raise ValueError(f"{runtime} cannot run this network: {why}") from error

    def outputs(x: np.ndarray) -> np.ndarray:
        validate.floats("x", x, "f")
        if x.shape[1:] != shape or not len(x):
            raise ValueError(
                f"the network was prepared for images (N, {', '.join(map(str, shape))}) with N at "
                f"least 1, got {x.shape}"
            )
        validate.finite("x", x)
        return compute(np.ascontiguousarray(x, np.float32))

    return outputs


def _import(runtime: str) -> ModuleType:
    try:
        with _no_telemetry():
            return importlib.import_module(runtime)
    except ImportError as error:
        extra = {"onnxruntime": "onnx"}.get(runtime, runtime)
        raise ImportError(
            f"the engine {runtime} needs the package {runtime}: pip install 'autocnn[{extra}]'"
        ) from error


@contextlib.contextmanager
def _no_telemetry() -> Iterator[None]:
    """Let OpenVINO be imported without the message that it sends over the network, from a forked
    process, when its telemetry can be imported."""
    name = "openvino_telemetry"
    before = sys.modules.get(name)
    sys.modules[name] = None  # type: ignore[assignment]  # an import of it fails
    try:
        yield
    finally:
        del sys.modules[name]
        if before is not None:
            sys.modules[name] = before


def _onnxruntime(library, graph, threads):
    options = library.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors, which are raised too
    session = library.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return lambda x: session.run(["logits"], {"images": x})[0]


def _openvino(library, graph, threads):
    settings = {
        "INFERENCE_PRECISION_HINT": "f32",  # else bfloat16, where the processor has it
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "ENABLE_CPU_PINNING": False,  # a core may be taken by another process
    }
    core = library.Core()
    compiled = core.compile_model(core.read_model(graph), "CPU", settings)
    return lambda x: compiled(x)[0]


_LOADERS = {"onnxruntime": _onnxruntime, "openvino": _openvino}
