"""ONNX: one more interpretation of the vocabulary, which writes a graph instead of computing.

    # pip install 'autocnn[onnx]'
    export.save_onnx("lenet5.onnx", model, params, state, (1, 28, 28))
    onnxruntime.InferenceSession("lenet5.onnx").run(None, {"images": x})       # logits
    export.predictor("onnxruntime", model, params, state, (1, 28, 28))(x)      # the same, no file

Models of every interpretation export alike. Graphs are those of evaluation, in float32, with any
number of images.
"""

from autocnn.export.onnx import OPSET, OPSETS, save_onnx, to_onnx
from autocnn.export.runtimes import predictor

__all__ = ["OPSET", "OPSETS", "predictor", "save_onnx", "to_onnx"]
