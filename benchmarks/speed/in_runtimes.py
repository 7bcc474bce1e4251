"""The forward works by onnxruntime and OpenVINO, from the file that ``export.save_onnx`` wrote."""


def make(found, variant):
    """Return a function that computes the logits by ``variant``, as ``export.predictor`` does."""
    from benchmarks.speed.worker import cores

    x, path = found.arrays()["x"], str(found.folder / "graph.onnx")
    if variant == "onnxruntime":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = cores()
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return lambda: session.run(["logits"], {"images": x})
    import openvino

    settings = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": cores(),
        "PERFORMANCE_HINT": "LATENCY",
        "ENABLE_CPU_PINNING": False,
    }
    compiled = openvino.Core().compile_model(path, "CPU", settings)
    return lambda: [compiled(x)[0]]
