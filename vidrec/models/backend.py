"""Which engine runs Keras, and how quietly."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def prepare_keras(cache: Path) -> None:
    """Imports Keras on TensorFlow without the remarks that TensorFlow starts with.

    Those come from C++, before its own log level counts, and look like failures (no CUDA driver).
    What Keras and matplotlib would write into the home folder goes into the cache. What the
    environment says already is respected.
    """
    os.environ.setdefault("KERAS_HOME", str(cache / "keras"))
    os.environ.setdefault("MPLCONFIGDIR", str(cache / "matplotlib"))
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    with _silent_stderr():
        import keras  # noqa: F401
        import tensorflow as tf

        tf.config.list_logical_devices()


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Sends what is written to file descriptor 2 nowhere."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
