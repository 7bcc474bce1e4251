"""torch.autograd.Function, with ctx in forward and with setup_context."""

import numpy as np
import torch


class GatedLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w, v):
        a = x @ w
        gate = torch.sigmoid(x @ v)
        ctx.save_for_backward(x, w, v, a, gate)
        return a * gate

    @staticmethod
    def backward(ctx, dy):
        x, w, v, a, gate = ctx.saved_tensors
        da = dy * gate
        dgate = dy * a
        dz = dgate * gate * (1 - gate)
        dx = da @ w.t() + dz @ v.t()
        dw = x.t() @ da
        dv = x.t() @ dz
        return dx, dw, dv


class TorchLayerNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias, eps):
        mean = x.mean(dim=-1, keepdim=True)
        var = ((x - mean) ** 2).mean(dim=-1, keepdim=True)
        rstd = torch.rsqrt(var + eps)
        xhat = (x - mean) * rstd
        ctx.save_for_backward(xhat, rstd, weight)
        return xhat * weight + bias

    @staticmethod
    def backward(ctx, dy):
        xhat, rstd, weight = ctx.saved_tensors
        dbias = dy.sum(dim=0)
        dweight = (dy * xhat).sum(dim=0)
        dxhat = dy * weight
        mean1 = dxhat.mean(dim=-1, keepdim=True)
        mean2 = (dxhat * xhat).mean(dim=-1, keepdim=True)
        dx = rstd * (dxhat - mean1 - xhat * mean2)
        return dx, dweight, dbias, None


class TanhLinear(torch.autograd.Function):
    @staticmethod
    def forward(x, w, b):
        return torch.tanh(x @ w + b)

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, w, _ = inputs
        ctx.save_for_backward(x, w, output)

    @staticmethod
    def backward(ctx, grad_output):
        x, w, y = ctx.saved_tensors
        grad_z = grad_output * (1 - y**2)
        grad_x = grad_z @ w.T
        grad_w = x.T @ grad_z
        grad_b = grad_z.sum(0)
        return grad_x, grad_w, grad_b


class TorchAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, v):
        scale = q.shape[-1] ** -0.5
        p = torch.softmax(q @ k.transpose(-2, -1) * scale, dim=-1)
        ctx.save_for_backward(q, k, v, p)
        ctx.scale = scale
        return p @ v

    @staticmethod
    def backward(ctx, do):
        q, k, v, p = ctx.saved_tensors
        dv = p.transpose(-2, -1) @ do
        dp = do @ v.transpose(-2, -1)
        delta = (dp * p).sum(dim=-1, keepdim=True)
        ds = p * (dp - delta) * ctx.scale
        dq = ds @ k
        dk = ds.transpose(-2, -1) @ q
        return dq, dk, dv


def _normal(seed, **shapes):
    rng = np.random.default_rng(seed)
    return {n: torch.tensor(rng.standard_normal(s)) for n, s in shapes.items()}


CASES = {
    "torch_gated_linear": ("torch", (GatedLinear,), _normal(0, x=(4, 3), w=(3, 5), v=(3, 5))),
    "torch_layer_norm": (
        "torch",
        (TorchLayerNorm,),
        _normal(1, x=(4, 5), weight=(5,), bias=(5,)) | {"eps": 1e-5},
    ),
    "torch_tanh_linear": ("torch", (TanhLinear,), _normal(2, x=(5, 3), w=(3, 4), b=(4,))),
    "torch_attention": (
        "torch",
        (TorchAttention,),
        _normal(3, q=(2, 3, 4), k=(2, 5, 4), v=(2, 5, 3)),
    ),
}
