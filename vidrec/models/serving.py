"""ONNX Runtime sessions: every model that vidrec serves is opened here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vidrec.errors import EmbedderError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, SessionOptions

FOLDED = "model.onnx"


def open_session(model: bytes | Path, *, threads: int = 1, as_is: bool = False) -> InferenceSession:
    """Open a model on the CPU.

    One session may be run by several threads at once; with ``threads=1`` each such call stays on
    the thread it came from, which serves many small inputs best.

    Args:
        model: the bytes of an ONNX file, or its path.
        threads: how many threads one call may use; 0 means all cores.
        as_is: rewrite nothing, which takes time once, and leave the weights where they are mapped:
            for what ``fold`` wrote, or what runs a few times only.

    Raises:
        EmbedderError: the model cannot be read.
    """
    import onnxruntime as ort

    options = _options(threads)
    if as_is:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.add_session_config_entry("session.disable_prepacking", "1")
    source = str(model) if isinstance(model, Path) else model
    try:
        return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as exc:  # ONNX Runtime's exceptions have no common base
        what = model if isinstance(model, Path) else "a model"
        raise EmbedderError(f"ONNX Runtime cannot open {what}: {_first_line(exc)}") from exc


def fold(model: bytes, folder: Path) -> None:
    """Write a model into ``folder`` with all that is constant computed, its weights in a file.

    Weights that are stored as int8 are numbers then, and mapped instead of read: of a table of
    words only the rows asked for are touched. The results are the same, bit for bit.

    Raises:
        EmbedderError: the model cannot be read.
    """
    import onnxruntime as ort

    options = _options(1)
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(folder / FOLDED)
    prefix = "session.optimized_model_external_initializers"
    options.add_session_config_entry(f"{prefix}_file_name", "weights.bin")
    options.add_session_config_entry(f"{prefix}_min_size_in_bytes", "1024")
    try:
        ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as exc:
        raise EmbedderError(f"ONNX Runtime cannot prepare a model: {_first_line(exc)}") from exc


def _options(threads: int) -> SessionOptions:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return options


def _first_line(exc: Exception) -> str:
    return (str(exc).splitlines() or [type(exc).__name__])[0]
