"""The part of a torch.nn.Module in which a gradient goes wrong: each on what it is fed."""

import inspect
from collections.abc import Callable
from typing import Any

from autocnn.gradcheck import pytrees
from autocnn.gradcheck.devices import is_tensor

__all__ = ["wrong_part"]


def wrong_part(
    module: Any, arrays: dict[str, Any], is_right: Callable[[Any, dict[str, Any]], bool]
) -> tuple[str, str]:
    """(path, class name) of the innermost part whose own gradients are wrong; ("", ...) for the
    module itself. `is_right(part, inputs)` checks one by itself.
    """
    fed = _fed(module, arrays)
    path, here = "", module
    while True:
        for name, child in here.named_children():
            inside = f"{path}.{name}" if path else name
            if inside in fed and not is_right(child, fed[inside]):
                path, here = inside, child
                break
        else:
            return path, type(here).__name__


def _fed(module: Any, arrays: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The arguments of the first call of each part, by path."""
    found: dict[str, dict[str, Any]] = {}
    hooks = []
    for name, part in module.named_modules():

        def keep(part: Any, args: tuple, kwargs: dict, name: str = name) -> None:
            if name in found:
                return
            try:
                bound = inspect.signature(part.forward).bind(*args, **kwargs).arguments
            except (TypeError, ValueError):
                bound = {f"x{k}": a for k, a in enumerate(args)}
            copies = {
                n: pytrees.tree_map(lambda t: t.detach().clone() if is_tensor(t) else t, a)
                for n, a in bound.items()
            }
            found[name] = copies

        hooks.append(part.register_forward_pre_hook(keep, with_kwargs=True))
    try:
        from autocnn.gradcheck.modules.torch_module import module_problem

        problem = module_problem(module, arrays)
        problem.call({**problem.arguments, **problem.values()})
    finally:
        for hook in hooks:
            hook.remove()
    return found
