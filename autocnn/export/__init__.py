"""ONNX: one more interpretation of the vocabulary, which writes a graph instead of computing.

    # pip install 'autocnn[onnx]'
    export.save_onnx("lenet5.onnx", model, params, state, (1, 28, 28))
    onnxruntime.InferenceSession("lenet5.onnx").run(None, {"images": x})       # logits

Models of every interpretation export alike. Graphs are those of evaluation, in float32, with any
number of images.
"""

from autocnn.export.onnx import OPSET, OPSETS, save_onnx, to_onnx

__all__ = ["OPSET", "OPSETS", "save_onnx", "to_onnx"]
