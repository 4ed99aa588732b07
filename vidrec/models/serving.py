"""ONNX Runtime sessions: every model that vidrec serves is opened here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vidrec.errors import EmbedderError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


def open_session(
    model: bytes | Path, *, threads: int = 1, optimise: bool = True
) -> InferenceSession:
    """Open a model on the CPU.

    One session may be run by several threads at once; with ``threads=1`` each such call stays on
    the thread it came from, which serves many small inputs best.

    Args:
        model: the bytes of an ONNX file, or its path.
        threads: how many threads one call may use; 0 means all cores.
        optimise: rewrite the graph for speed. It costs time once: a model that runs only a few
            times is quicker without.

    Raises:
        EmbedderError: the model cannot be read.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if not optimise:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    source = str(model) if isinstance(model, Path) else model
    try:
        return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as exc:  # ONNX Runtime's exceptions have no common base
        what = model if isinstance(model, Path) else "a model"
        raise EmbedderError(f"ONNX Runtime cannot open {what}: {_first_line(exc)}") from exc


def _first_line(exc: Exception) -> str:
    return (str(exc).splitlines() or [type(exc).__name__])[0]
