"""Break the code on purpose, one line at a time, and see whether a test notices: ``make mutants``.

Each mutant is a small slip of the kind that people make: a sign, a tie rule, a stride, a key. It is
made in a copy of the tree, and the tests that should notice run there until the first one fails. A
mutant that survives is a missing test.
"""

import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).parents[2]
OPS = "tests/ops/test_ops.py tests/layers/test_agreement.py"
LAYERS = "tests/layers/test_agreement.py tests/ops/test_ops_torch.py"
KINKS = "tests/layers/test_kinks.py"
LOSSES = "tests/layers/test_losses.py"
FAST = "tests/fast/test_fast_conv.py tests/fast/test_fast_agreement.py"
PROGRAM = "tests/fast/test_fast_program.py"
MUTANTS = [
    # file, what stands there, what is put in its place, the tests that should notice
    ("autocnn/ops/windows.py", "row * sh, col * sw)", "row * sw, col * sh)", OPS),
    ("autocnn/ops/windows.py", "(row * dh, col * dw, a, b,", "(row, col, a, b,", OPS),
    ("autocnn/ops/windows.py", "+= p[u, v]", "= p[u, v]", OPS),
    ("autocnn/ops/windows.py", "u * dh : u * dh + ho * sh", "u : u + ho * sh", OPS),
    ("autocnn/ops/pointwise.py", "(getval(x) > 0)", "(getval(x) >= 0)", OPS),
    (
        "autocnn/ops/pooling.py",
        "x.shape[2:], k, s, p, d, out), -onp.inf",
        "x.shape[2:], k, s, p, d, out), 0.0",
        OPS,
    ),
    (
        "autocnn/ops/pooling.py",
        "argmax(axis=0)",
        "shape[0] - 1 - cells.reshape(-1, *cells.shape[2:])[::-1].argmax(axis=0)",
        OPS,
    ),
    ("autocnn/ops/spatial.py", "axes=([2, 3, 1], [0, 1, 3])", "axes=([3, 2, 1], [0, 1, 3])", OPS),
    ("autocnn/ops/spatial.py", "weight[g * f : (g + 1) * f]", "weight[:f]", OPS),
    ("autocnn/ops/loss.py", "q / (-total", "q / (-2 * total", OPS),
    ("autocnn/ops/norm.py", "(n / (n - 1)) *", "", "tests/layers/test_norm.py"),
    ("autocnn/layers/combine.py", "child(key, 1))", "child(key, 0))", OPS),
    (
        "autocnn/layers/combine.py",
        "child(key, i) if part.draws",
        "key if part.draws",
        OPS,
    ),
    (
        "reference/vocabulary/combine.py",
        "layer.init(layer_key(key, used), shape, dtype)\n            used += count_layers(p)",
        "layer.init(layer_key(key, used), shape, dtype)\n            used += 1",
        "tests/experiments/test_golden.py tests/layers/test_agreement.py",
    ),
    (
        "autocnn/layers/flat.py",
        "ops.dropout_mask(rng(key), x.shape, o.p)",
        "ops.dropout_mask(rng(key), x.shape, 1 - o.p)",
        OPS,
    ),
    (
        "reference/initial.py",
        "math.sqrt(2.0 / fan_in)",
        "math.sqrt(1.0 / fan_in)",
        "tests/experiments/test_golden.py tests/layers/test_agreement.py",
    ),
    (
        "reference/keys.py",
        "return (seed + i, *path)",
        "return (seed, *path, i)",
        "tests/layers/test_keys.py tests/experiments/test_golden.py",
    ),
    (
        "autocnn/autodiff.py",
        "finally:\n            trace_stack.top = level - 1",
        "finally:\n            pass",
        "tests/layers/test_autodiff.py",
    ),
    (
        "autocnn/autodiff.py",
        "add_outgrads(pending.get(parent), part)",
        "(part, False)",
        "tests/layers/test_autodiff.py tests/layers/test_agreement.py",
    ),
    (
        "autocnn/optim/optimizers.py",
        "momentum * v + g",
        "momentum * v - g",
        "tests/training/test_optim.py",
    ),
    ("autocnn/optim/optimizers.py", "1 - beta2**t", "1 - beta1**t", "tests/training/test_optim.py"),
    (
        "autocnn/optim/optimizers.py",
        "return float(rate(step))",
        "return np.float64(rate(step))",
        "tests/training/test_optim.py",
    ),
    (
        "autocnn/training/loop.py",
        "shuffle.permutation(len(x))",
        "np.arange(len(x))",
        "tests/experiments/test_golden.py",
    ),
    (
        "autocnn/training/loop.py",
        "child(dropout_key, step)",
        "dropout_key",
        "tests/training/test_training.py",
    ),
    ("reference/elementwise.py", "positive = x > 0", "positive = x >= 0", OPS),
    ("reference/elementwise.py", "return y, 1 - y * y", "return y, 1 - x * x", OPS),
    ("reference/flat.py", "return dy @ w.T, grads", "return dy @ w, grads", OPS),
    ("reference/flat.py", "dy * mask", "dy", OPS),
    ("reference/spatial.py", "better = cells > best", "better = cells >= best", OPS),
    ("reference/spatial.py", "cells += dx_u[:, v]", "cells[...] = dx_u[:, v]", OPS),
    ("reference/spatial.py", "cells += dy * (which == i)", "cells[...] = dy * (which == i)", OPS),
    ("reference/spatial.py", "transpose(1, 2, 0, 3)", "transpose(1, 2, 0, 3)[..., ::-1]", OPS),
    ("reference/spatial.py", '"b"] = dy.sum(axis=2)', '"b"] = dy.mean(axis=2)', OPS),
    ("reference/combine.py", "return dx + dx_,", "return dx,", OPS),
    ("reference/combine.py", "child(key, 1))", "child(key, 0))", OPS),
    ("reference/loss.py", "slope /= len(y)", "pass", "tests/layers/test_agreement.py"),
    (
        "reference/loss.py",
        "e[np.arange(len(labels)), labels] -= 1",
        "e[np.arange(len(labels)), labels] += 1",
        "tests/layers/test_agreement.py",
    ),
    ("reference/norm.py", "z * column(-dw / n)", "z * column(dw / n)", "tests/layers/test_norm.py"),
    ("reference/norm.py", "- column(db / n)", "", "tests/layers/test_norm.py"),
    (
        "autocnn/data/patterns.py",
        "rng.uniform(0.85, 1.15)",
        "rng.uniform(0.85, 1.151)",
        "tests/data/test_data_patterns.py",
    ),
    (
        "autocnn/models/resnet.py",
        "stride=1 if i == 0 else 2",
        "stride=2",
        "tests/models/test_networks.py",
    ),
    ("autocnn/fast/convolution.py", "stride == dilation == (1, 1)", "stride == (1, 1)", FAST),
    ("autocnn/fast/winograd.py", "ROTATED = G[[3, 1, 2, 0]]", "ROTATED = G", FAST),
    (
        "autocnn/fast/winograd.py",
        "(2 - padding[0], 2 - padding[1])",
        "(2 - padding[1], 2 - padding[0])",
        FAST,
    ),
    ("autocnn/fast/norm.py", "(m / (m - 1))", "1", FAST),
    (
        "autocnn/fast/loss.py",
        "e *= weights[:, None]",
        "e /= n",
        "tests/training/test_sample_weight.py",
    ),
    ("autocnn/fast/kernels/numpy/pool.py", "(right > left)", "(right >= left)", FAST),
    (
        "autocnn/fast/kernels/numpy/pool.py",
        "np.where(lower > upper",
        "np.where(lower >= upper",
        FAST,
    ),
    ("autocnn/fast/kernels/numpy/patches.py", "apart * sw * row", "sw * row", FAST),
    (
        "autocnn/fast/kernels/numba/matmul.py",
        "c * thread // num_threads, c * (thread + 1) // num_threads",
        "c * thread // num_threads, c",
        FAST,
    ),
    ("autocnn/fast/kernels/numba/matmul.py", "min(len(a), (thread + 1) * share)", "len(a)", FAST),
    (
        "autocnn/fast/kernels/numba/patches.py",
        "add(more[f0:f1], dw[f0:f1])",
        "dw[f0:f1] = more[f0:f1]",
        FAST,
    ),
    (
        "autocnn/fast/kernels/numba/winograd.py",
        "v3[k] = t1[k] - t3[k]",
        "v3[k] = t3[k] - t1[k]",
        FAST,
    ),
    ("autocnn/fast/kernels/numba/winograd.py", "add(more, du[k])", "du[k] = more", FAST),
    ("autocnn/fast/kernels/numba/pool.py", "if s[k] > value", "if s[k] >= value", FAST),
    (
        "autocnn/fast/kernels/numba/elementwise.py",
        "out[k] = g[k] if value[k] > zero",
        "out[k] = g[k] if value[k] >= zero",
        FAST,
    ),
    (
        "autocnn/models/lenet.py",
        "(0, 1, 2), (1, 2, 3)",
        "(0, 1, 2), (1, 2, 3, 4)",
        "tests/models/test_networks.py",
    ),
    # The words of later networks.
    ("reference/elementwise.py", "slope = np.where(x > 0", "slope = np.where(x >= 0", KINKS),
    ("reference/elementwise.py", "(x > 0) & (x < 6)", "(x > 0) & (x <= 6)", KINKS),
    ("reference/elementwise.py", "return y, y * (1 - y)", "return y, y * (1 + y)", LAYERS),
    ("reference/elementwise.py", "s + x * s * (1 - s)", "s + x * (1 - s)", LAYERS),
    ("reference/elementwise.py", "cumulative + x * phi", "cumulative", LAYERS),
    ("reference/elementwise.py", "(1 + 3 * 0.044715", "(1 + 0.044715", LAYERS),
    ("reference/norm.py", "(g - mean - z * slope)", "(g - z * slope)", LAYERS),
    ("reference/norm.py", "(dy * w).reshape(len(x), n)", "dy.reshape(len(x), n)", LAYERS),
    ("reference/norm.py", "(dy * w).reshape(rows)", "dy.reshape(rows)", LAYERS),
    ("reference/norm.py", "(len(x) * o.groups, -1)", "(len(x), -1)", LAYERS),
    ("reference/spatial.py", "slot += cells[:, i]", "slot[...] = cells[:, i]", LAYERS),
    ("reference/spatial.py", "dy.sum(axis=(0, 2, 3))", "dy.mean(axis=(0, 2, 3))", LAYERS),
    ("reference/spatial.py", "xs @ met.swapaxes(1, 2)", "-xs @ met.swapaxes(1, 2)", LAYERS),
    ("reference/combine.py", "sum(dx for dx, _ in parts)", "parts[0][0]", LAYERS),
    (
        "reference/combine.py",
        "path.pullback(params[i], state[i], x, train, child(key, i))",
        "path.pullback(params[i], state[i], x, train, key)",
        LAYERS,
    ),
    (
        "reference/vocabulary/combine.py",
        "path.init(layer_key(key, used), shape, dtype)",
        "path.init(key, shape, dtype)",
        "tests/layers/test_keys.py",
    ),
    ("reference/loss.py", "2 / y[0].size", "1 / y[0].size", LOSSES),
    ("reference/loss.py", "/ square.shape[1]", "/ len(square)", LOSSES),
    ("autocnn/ops/pointwise.py", "where(value > 0, 1, neg", "where(value >= 0, 1, neg", KINKS),
    ("autocnn/ops/pointwise.py", "(value > 0) & (value < 6)", "(value > 0) & (value <= 6)", KINKS),
    ("autocnn/ops/pointwise.py", "return x * sigmoid(x)", "return sigmoid(x)", LAYERS),
    ("autocnn/ops/pointwise.py", "0.044715 * x * x * x", "0.044715 * x * x", LAYERS),
    ("autocnn/ops/pointwise.py", "positive + (1 - positive) * e", "positive", LAYERS),
    ("autocnn/ops/norm.py", "keepdims=True) / n + eps", "keepdims=True) / (n - 1) + eps", LAYERS),
    ("autocnn/ops/norm.py", "(n, num_groups, -1)", "(n, 1, -1)", LAYERS),
    ("autocnn/ops/spatial.py", "(1, 2, 3, 0, 4, 5)", "(1, 3, 2, 0, 4, 5)", LAYERS),
    (
        "autocnn/ops/spatial.py",
        "weight[g * step : (g + 1) * step]",
        "weight[:step]",
        LAYERS,
    ),
    ("autocnn/ops/spatial.py", "np.stack(ys, axis=2)", "np.stack(ys, axis=1)", LAYERS),
    ("autocnn/ops/loss.py", "total / d.size", "total / len(d)", LOSSES),
    (
        "autocnn/fast/program/conv.py",
        "corner + i * row, dy + i",
        "corner + i * o.w, dy + i",
        PROGRAM,
    ),
    (
        "autocnn/fast/program/conv.py",
        "o.dw, o.dh * o.w, o.sh * o.w\n    kernel",
        "o.dh, o.dw * o.w, o.sh * o.w\n    kernel",
        PROGRAM,
    ),
    ("autocnn/fast/program/pool.py", 'fcmp_unordered(">"', 'fcmp_ordered(">"', PROGRAM),
    ("autocnn/fast/program/pool.py", 'fcmp_unordered(">"', 'fcmp_unordered(">="', PROGRAM),
    (
        "autocnn/fast/program/kernels.py",
        'y.compare(">", 0).choose(dy, k.zero)',
        'y.compare(">=", 0).choose(dy, k.zero)',
        PROGRAM,
    ),
    (
        "autocnn/fast/program/kernels.py",
        'x.compare("<=", 0).choose(k.zero, x)',
        'x.compare(">", 0).choose(x, k.zero)',
        PROGRAM,
    ),
    ("autocnn/fast/program/kernels.py", "f = full * LANES + i", "f = i", PROGRAM),
    ("autocnn/fast/program/machine.py", "begin = s * o.batch_size", "begin = s", PROGRAM),
    (
        "autocnn/fast/program/batches.py",
        "is_there.choose(weigh(image), ",
        'l.compare(">=", 0).choose(weigh(image), ',
        PROGRAM,
    ),
    ("autocnn/fast/program/batches.py", "is_nesterov.choose(g + beta1 * v, v)", "v", PROGRAM),
    ("autocnn/fast/program/lower.py", '{"need_dx": has_params,', '{"need_dx": False,', PROGRAM),
    ("autocnn/fast/program/lower.py", '"z": layer.name == "max_pool"', '"z": 0', PROGRAM),
    ("autocnn/fast/program/run.py", ".reshape(leaf.shape).copy()", ".reshape(leaf.shape)", PROGRAM),
    ("autocnn/fast/program/run.py", "child(key, *path)", "key", PROGRAM),
    (
        "autocnn/training/programs.py",
        "key = child(seed, 0, first + i // self.batch_size)",
        "key = child(seed, 0, i // self.batch_size)",
        PROGRAM,
    ),
    ("autocnn/training/programs.py", "t = first + i + 1", "t = i + 1", PROGRAM),
    (
        "autocnn/training/programs.py",
        'opt_state["step"] + count}',
        'opt_state["step"] + 1}',
        PROGRAM,
    ),
    ("autocnn/fast/depthwise.py", "cells += dy_e", "cells[...] = dy_e", FAST),
    ("autocnn/fast/depthwise.py", "dw.transpose(3, 2, 0, 1)", "dw.transpose(3, 2, 1, 0)", FAST),
    ("autocnn/fast/depthwise.py", "reshape(n, *out, c, each)[", "reshape(n, *out, each, c)[", FAST),
    ("autocnn/fast/combine.py", "sum(dx for dx, _ in pairs)", "pairs[0][0]", FAST),
]


def stale(mutants, tree=ROOT):
    """List what keeps mutants from being made: missing files, and texts that do not occur once."""
    faults = []
    for name, old, _, tests in mutants:
        missing = [p for p in (name, *tests.split()) if not (tree / p).exists()]
        faults += [f"{p} does not exist" for p in missing]
        count = 0 if name in missing else (tree / name).read_text().count(old)
        if count != 1 and name not in missing:
            faults.append(f"{name} contains {old!r} {count} times, not once")
    return faults


def survives(mutant, tree):
    """Make the mutant in ``tree``, run its tests, undo it. True when no test failed."""
    name, old, new, tests = mutant
    path = tree / name
    text = path.read_text()
    path.write_text(text.replace(old, new, 1))
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests.split()]
    found = subprocess.run(command, cwd=tree, capture_output=True, text=True)
    path.write_text(text)
    return found.returncode == 0


def main():
    """Run every mutant, or those whose file contains an argument; exit code 1 when one survives."""
    chosen = [m for m in MUTANTS if not sys.argv[1:] or any(a in m[0] for a in sys.argv[1:])]
    if faults := stale(chosen):
        raise SystemExit("\n".join([*faults, "bring the list of mutants up to date"]))
    with tempfile.TemporaryDirectory() as folder:
        tree = pathlib.Path(folder) / "tree"
        shutil.copytree(
            ROOT, tree, ignore=shutil.ignore_patterns(".*", "__pycache__", "*.egg-info")
        )
        left = []
        for mutant in chosen:
            alive = survives(mutant, tree)
            left += [mutant] * alive
            outcome = "SURVIVED" if alive else "noticed "
            print(f"{outcome}  {mutant[0]}: {mutant[1]!r} -> {mutant[2]!r}", flush=True)
    print(f"{len(chosen) - len(left)} of {len(chosen)} mutants noticed")
    return bool(left)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)  # make says which command was stopped
