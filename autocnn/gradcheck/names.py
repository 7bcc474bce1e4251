"""What a gradient may be called: dx, grad_x or x_grad for x, "params.W" inside params."""

__all__ = ["argument_of", "means"]

PREFIXES = ("d_", "d", "grad_", "g_", "grad", "delta_", "nabla_")
SUFFIXES = ("_grad", "_gradient", ".grad", "_g")


def argument_of(leaf: str) -> str:
    """The argument that a leaf is part of: "params" of "params.W" and of "params[0]"."""
    for k, letter in enumerate(leaf):
        if letter in ".[" and k:
            return leaf[:k]
    return leaf


def means(key: str, name: str) -> bool:
    """Is a key a name for the gradient of `name`: dx, grad_x, x_grad ...?"""
    key, name = str(key).lower(), name.lower()
    return key in {p + name for p in PREFIXES} | {name + s for s in SUFFIXES}
