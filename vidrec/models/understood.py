"""Whether a text means something to the default embedder: another language, a name, a typing error.

The text encoder knows English. It cuts what it does not know into small pieces, and such texts lie
close to no label of the classifier and to no phrase about tone. Both together tell English about
things and moods from the rest. Weights were fitted to 60 queries in English and 55 in other
languages, names and scribbles, and then rounded so that an English query is rarely doubted: of 36
others one was, while 22 of 26 in other languages and 17 of 29 names and scribbles were. A name of
plain words ("Uncle Bob") is not seen to be one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

CLOSENESS, ENGLISH, BIAS = 10.0, 7.0, -7.5
# A sentence is about many things and so close to none; from four known words on that counts less.
SENTENCE = 0.25
_LETTERS = re.compile("[a-z]+")
_LONG = 4  # letters; a piece of that many is a word or its stem


def understood(words: Sequence[Sequence[str]], closeness: float) -> float:
    """Return the probability, 0 to 1, that a text means something.

    Args:
        words: the text's words, each as its word pieces, in lower case.
        closeness: cosine with the closest label or phrase.
    """
    letters = sum(len(piece) for word in words for piece in word)
    if not letters:
        return 0.0
    english = sum(
        len(piece)
        for word in words
        for piece in word
        if _LETTERS.fullmatch(piece) and (len(word) == 1 or len(piece) >= _LONG)
    )
    known = sum(len(word) == 1 and bool(_LETTERS.fullmatch(word[0])) for word in words)
    closeness += SENTENCE * min(1.0, max(0.0, (known - 3) / 3))
    exponent = CLOSENESS * closeness + ENGLISH * english / letters + BIAS
    return 1 / (1 + math.exp(-exponent))
