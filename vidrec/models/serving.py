"""ONNX Runtime sessions: every model that vidrec serves is opened here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from vidrec.errors import EmbedderError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, SessionOptions

FOLDED = "model.onnx"
CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
Device: TypeAlias = Literal["auto", "cpu", "cuda"]


def open_session(
    model: bytes | Path,
    *,
    threads: int = 1,
    as_is: bool = False,
    device: Device = "cpu",
    wide_sums: bool = False,
) -> InferenceSession:
    """Open a model.

    One session may be run by several threads at once; with ``threads=1`` each such call stays on
    the thread it came from, which serves many small inputs best.

    Args:
        model: the bytes of an ONNX file, or its path.
        threads: how many threads one call may use; 0 means all cores.
        as_is: rewrite nothing, which takes time once, and leave the weights where they are mapped:
            for what ``fold`` wrote, or what runs a few times only.
        wide_sums: add products of bytes exactly on any x86, in twice the time; see
            ``adds_exactly``.

    Raises:
        EmbedderError: the model cannot be read, or the device is not there.
    """
    import onnxruntime as ort

    chosen = providers(device)
    options = _options(threads)
    if as_is:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.add_session_config_entry("session.disable_prepacking", "1")
    if wide_sums:
        options.add_session_config_entry("session.x64quantprecision", "1")
    session = _opened(model, options, chosen)
    require_device(session, device)
    return session


def adds_exactly(check: Path) -> bool:
    """Whether ONNX Runtime's fast kernels add products of bytes exactly on this CPU.

    On x86 without VNNI (before 2019) two large products in a row stop at 32,767. ``check`` is what
    ``quantised.sum_check`` makes: the largest products there are, and what they should add up to.
    """
    wrong = open_session(check).run(None, {})[0]
    return not wrong.any()


def providers(device: Device) -> list[Any]:
    """Return what ONNX Runtime may run on, best first; ``auto`` is a GPU where it knows one.

    Raises:
        EmbedderError: a GPU is asked for, and this ONNX Runtime knows none.
    """
    import onnxruntime as ort

    there = CUDA in ort.get_available_providers()
    if device == "cuda" and not there:
        raise EmbedderError(
            "this ONNX Runtime knows no CUDA: install onnxruntime-gpu in place of onnxruntime, or "
            "use --device cpu"
        )
    # Rounded as on the CPU, so that vectors may be compared.
    return [*([(CUDA, {"use_tf32": "0"})] if there and device != "cpu" else []), CPU]


def require_device(session: Any, device: Device) -> None:
    """See to it that what was asked for is used: ONNX Runtime falls back in silence.

    Raises:
        EmbedderError: the GPU cannot be used.
    """
    if device == "cuda" and session.get_providers()[0] != CUDA:
        raise EmbedderError(
            "the GPU cannot be used (its driver, CUDA or cuDNN is missing or of another version): "
            "mend that, or use --device cpu"
        )


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
    _opened(model, options, [CPU])


def _opened(model: bytes | Path, options: SessionOptions, on: list[Any]) -> InferenceSession:
    import onnxruntime as ort

    source = str(model) if isinstance(model, Path) else model
    try:
        return ort.InferenceSession(source, options, providers=on)
    except Exception as exc:  # ONNX Runtime's exceptions have no common base
        what = model if isinstance(model, Path) else "a model"
        reason = str(exc).partition("\n")[0] or type(exc).__name__
        raise EmbedderError(f"ONNX Runtime cannot open {what}: {reason}") from exc


def _options(threads: int) -> SessionOptions:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return options
