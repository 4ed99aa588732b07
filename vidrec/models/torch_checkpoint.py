"""Reads the tensors of a PyTorch checkpoint without PyTorch.

The file format is the one ``torch.save`` wrote before version 1.6: five pickles in a row (a magic
number, a protocol version, a description of the machine, the object itself, the storage keys),
then each storage as its length (int64, little-endian) and its raw values.

A pickle can run any code. This reader resolves exactly the few names that a dictionary of tensors
needs and refuses every other.
"""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidrec.errors import EmbedderError

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
PROTOCOL_VERSION = 1001
STORAGE_DTYPES = {"FloatStorage": "<f4", "LongStorage": "<i8"}


class _TensorUnpickler(pickle.Unpickler):
    """Makes each tensor the key of its storage, its offset, its shape and its strides."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.dtypes: dict[str, str] = {}  # of the storages that tensors lie in

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda *tensor: tensor[:4]
        if module == "torch" and name in STORAGE_DTYPES:
            return STORAGE_DTYPES[name]
        raise pickle.UnpicklingError(f"the checkpoint asks for {module}.{name}, which is no tensor")

    def persistent_load(self, pid: Any) -> str:
        kind, dtype, key = pid[:3]
        if kind != "storage" or dtype not in STORAGE_DTYPES.values():
            raise pickle.UnpicklingError(f"unknown reference {kind!r} in the checkpoint")
        self.dtypes[str(key)] = dtype
        return str(key)


def read_torch_checkpoint(data: bytes) -> dict[str, NDArray[Any]]:
    """Return the tensors of a checkpoint by name.

    Raises:
        EmbedderError: the bytes are not a plain dictionary of tensors in this format.
    """
    try:
        return _read(io.BytesIO(data))
    except (pickle.UnpicklingError, EOFError, ValueError, LookupError, TypeError,
            AttributeError) as exc:  # fmt: skip
        raise EmbedderError(f"not a readable PyTorch checkpoint: {exc}") from exc


def _read(file: io.BytesIO) -> dict[str, NDArray[Any]]:
    header = [_TensorUnpickler(file).load() for _ in range(3)]
    if header[:2] != [MAGIC_NUMBER, PROTOCOL_VERSION]:
        raise ValueError("the header is not that of the format before PyTorch 1.6")
    unpickler = _TensorUnpickler(file)
    state, values = unpickler.load(), {}
    for key in _TensorUnpickler(file).load():
        dtype = np.dtype(unpickler.dtypes[key])
        size = int.from_bytes(file.read(8), "little") * dtype.itemsize
        values[key] = np.frombuffer(file.read(size), dtype)
    return {name: _array(values[key], *where) for name, (key, *where) in state.items()}


def _array(
    values: NDArray[Any], offset: int, shape: tuple[int, ...], strides: tuple[int, ...]
) -> NDArray[Any]:
    size = values.itemsize
    steps = [step * size for step in strides]
    # NumPy refuses what reaches beyond the values.
    return np.ndarray(shape, values.dtype, values.data, offset * size, steps).copy()
