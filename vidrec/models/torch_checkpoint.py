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


class _Storage:
    """A run of numbers whose values follow the pickles in the file."""

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype
        self.values: NDArray[Any] = np.empty(0, dtype)


class _Tensor:
    """A view into a storage, resolved once the storage has been read."""

    def __init__(
        self,
        storage: _Storage,
        offset: int,
        shape: tuple[int, ...],
        strides: tuple[int, ...],
        *_: Any,
    ) -> None:
        self.storage, self.offset, self.shape, self.strides = storage, offset, shape, strides

    def array(self) -> NDArray[Any]:
        values = self.storage.values[self.offset :]
        last = sum((n - 1) * step for n, step in zip(self.shape, self.strides, strict=True))
        if min(self.offset, *self.strides, 0) < 0 or (0 not in self.shape and last >= len(values)):
            raise ValueError("a tensor reaches beyond its values")
        steps = [step * values.itemsize for step in self.strides]
        return np.lib.stride_tricks.as_strided(values, self.shape, steps).copy()


class _TensorUnpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _Tensor
        if module == "torch" and name in STORAGE_DTYPES:
            return STORAGE_DTYPES[name]
        raise pickle.UnpicklingError(f"the checkpoint asks for {module}.{name}, which is no tensor")

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key = pid[:3]
        if kind != "storage" or dtype not in STORAGE_DTYPES.values():
            raise pickle.UnpicklingError(f"unknown reference {kind!r} in the checkpoint")
        return self.storages.setdefault(str(key), _Storage(dtype))


def read_torch_checkpoint(data: bytes) -> dict[str, NDArray[Any]]:
    """Return the tensors of a checkpoint by name.

    Raises:
        EmbedderError: the bytes are not a plain dictionary of tensors in this format.
    """
    try:
        return _read(io.BytesIO(data))
    except (pickle.UnpicklingError, EOFError, ValueError, LookupError, TypeError) as exc:
        raise EmbedderError(f"not a readable PyTorch checkpoint: {exc}") from exc


def _read(file: io.BytesIO) -> dict[str, NDArray[Any]]:
    header = [_TensorUnpickler(file).load() for _ in range(3)]
    if header[:2] != [MAGIC_NUMBER, PROTOCOL_VERSION]:
        raise ValueError("the header is not that of the format before PyTorch 1.6")
    unpickler = _TensorUnpickler(file)
    state = unpickler.load()
    for key in _TensorUnpickler(file).load():
        storage = unpickler.storages[key]
        size = int.from_bytes(file.read(8), "little") * np.dtype(storage.dtype).itemsize
        storage.values = np.frombuffer(file.read(size), storage.dtype)
    return {name: tensor.array() for name, tensor in state.items()}
