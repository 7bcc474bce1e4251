"""Tensors and jax arrays as NumPy arrays and back; mixtures of devices and libraries refused."""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from autocnn.gradcheck.problem import CallError

__all__ = [
    "common_device",
    "detached",
    "dtypes_named",
    "is_jax_function",
    "is_jax_rule",
    "is_tensor",
    "jax_to_numpy",
    "narrow_remarks",
    "refuse_mixture",
    "refuse_other",
    "to_numpy",
    "to_tensor",
    "write_back",
]

_NARROW = ("bfloat16", "float16", "float8")


def is_tensor(value: Any) -> bool:
    """Is it a torch tensor (a Parameter included)?"""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def is_jax_function(value: Any) -> bool:
    """Is it a custom rule or a jax.jit function, or wrapped around one?"""
    while value is not None:
        if is_jax_rule(value) or type(value).__name__ == "PjitFunction":
            return True
        value = getattr(value, "__wrapped__", None)
    return False


def is_jax_rule(value: Any) -> bool:
    """Is it a jax.custom_vjp or jax.custom_jvp function?"""
    return type(value).__name__ in ("custom_vjp", "custom_jvp")


def detached(value: Any) -> Any:
    """A tensor without its graph; anything else as it is."""
    return value.detach() if is_tensor(value) else value


def to_numpy(value: Any) -> Any:
    """The entries of a tensor as an array, bfloat16 as float32; anything else as it is."""
    if not is_tensor(value):
        return value
    value = value.detach().resolve_neg().resolve_conj().cpu()
    if value.is_sparse:
        value = value.to_dense()
    if str(value.dtype).removeprefix("torch.").startswith(_NARROW):
        value = value.float()
    return value.numpy().copy()


def to_tensor(array: Any, device: Any = None) -> Any:
    """A tensor of an array's values, strides included where they are not C order's."""
    torch = sys.modules["torch"]
    if array is None:
        return None
    array = np.asarray(array)
    if array.flags.c_contiguous or any(s < 0 for s in array.strides):
        return torch.tensor(array, device=device)
    if array.size and not any(array.strides):
        return torch.tensor(array.flat[0], device=device).expand(array.shape)
    if device is not None and str(device) != "cpu":
        return torch.tensor(array, device=device)
    return torch.from_numpy(array) if array.flags.writeable else torch.tensor(array)


def write_back(tensors: dict[str, Any], arrays: dict[str, Any]) -> None:
    """What a function wrote into its tensors, written into the arrays that they were made of."""
    for name, tensor in tensors.items():
        array = arrays[name]
        if not is_tensor(tensor) or not tensor._version or not isinstance(array, np.ndarray):
            continue
        now = to_numpy(tensor)
        if array.flags.writeable and not np.array_equal(
            now, array, equal_nan=array.dtype.kind in "fc"
        ):
            array[...] = now


def jax_to_numpy(value: Any) -> Any:
    """The entries of a jax array as an array, bfloat16 as float32; anything else as it is."""
    if not type(value).__module__.startswith(("jax", "jaxlib")) or not hasattr(value, "dtype"):
        return value
    if str(value.dtype).startswith(_NARROW):
        value = value.astype("float32")
    return np.array(value)


def common_device(arrays: dict[str, Any], label: str) -> Any:
    """The device of all tensors. Raises ValueError where they differ, or hold no values."""
    places = {n: a.device for n, a in arrays.items() if is_tensor(a)}
    kinds = {str(p) for p in places.values()}
    if len(kinds) > 1:
        one = next(iter(places.values()))
        raise ValueError(
            f"{label}: devices differ: {', '.join(f'{n} is on {p}' for n, p in places.items())}; "
            f"move all to one, {list(places)[-1]}.to({str(one)!r})"
        )
    if "meta" in kinds:
        name = next(iter(places))
        raise ValueError(
            f"{name} is on device meta, which holds no values: pass {name} on cpu, "
            f"torch.randn({', '.join(map(str, arrays[name].shape))})"
        )
    return next(iter(places.values()), None)


@contextlib.contextmanager
def dtypes_named(arrays: dict[str, Any]) -> Iterator[None]:
    """Add the arguments' float dtypes, where they differ, to an error of a call."""
    try:
        yield
    except CallError as error:
        kinds = {n: str(getattr(a, "dtype", "")).removeprefix("torch.") for n, a in arrays.items()}
        kinds = {n: k for n, k in kinds.items() if "float" in k}
        if len(set(kinds.values())) < 2:
            raise
        given = ", ".join(f"{n} is {k}" for n, k in kinds.items())
        most = max(kinds.values(), key=lambda k: ("64" in k, "32" in k))
        odd = next(n for n, k in kinds.items() if k != most)
        cast = f"{odd}.to(torch.{most})" if is_tensor(arrays[odd]) else f"{odd}.astype({most!r})"
        text = f"{error} (dtypes differ: {given}; pass {odd}={cast})"
        raise CallError(text) from error


def refuse_other(outputs: list[Any], device: Any, label: str) -> None:
    """Raise CallError for outputs on another device than the arguments'."""
    for k, out in enumerate(outputs):
        if device is not None and out.device != device:
            which = f"output {k}" if len(outputs) > 1 else "its output"
            raise CallError(
                f"{label} returns {which} on {out.device}; its arguments are on {device}: "
                f"return y.to({str(device)!r})"
            )


def refuse_mixture(arrays: dict[str, Any], wrt: Any, custom: bool) -> None:
    """Raise ValueError for NumPy float arrays beside tensors, unless `wrt` leaves them out."""
    if custom or not any(map(is_tensor, arrays.values())):
        return
    wanted = None if wrt is None else {wrt} if isinstance(wrt, str) else set(wrt)
    for name, a in arrays.items():
        if isinstance(a, np.ndarray) and a.dtype.kind == "f" and (wanted is None or name in wanted):
            tensor = next(n for n, v in arrays.items() if is_tensor(v))
            raise ValueError(
                f"{name} is a NumPy array and {tensor} a torch tensor: pass "
                f"{name}=torch.from_numpy({name}), or wrt=({tensor!r},) to keep {name} constant"
            )


def narrow_remarks(arrays: dict[str, Any], label: str) -> tuple[tuple[str, str], ...]:
    """A note for arguments in bfloat16 or float16, which are not compared in that dtype."""
    names = {
        n: str(a.dtype).removeprefix("torch.")
        for n, a in arrays.items()
        if hasattr(a, "dtype") and str(a.dtype).removeprefix("torch.").startswith(_NARROW)
    }
    if not names:
        return ()
    kind = next(iter(names.values()))
    given = ", ".join(f"{n}={n}" for n in arrays)
    return (
        (
            "note",
            f"{', '.join(names)}: given in {kind}, compared in float64 and float32; "
            f"check_kernel({label}, {given}) compares in {kind}",
        ),
    )
