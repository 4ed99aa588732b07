"""What questions may cost: nothing, unless whoever runs the server allows so many."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vidrec.serve.problems import Problem

if TYPE_CHECKING:
    from vidrec.search.query import Part
    from vidrec.search.session import Session


@dataclass
class Purse:
    """How many paid questions are left, for as long as the server runs.

    A text and a picture count as one, a clip as one for each minute begun.
    """

    most: int = 0
    _spent: int = 0
    _mutex: threading.Lock = field(default_factory=threading.Lock)

    def pay_for(self, session: Session, parts: tuple[Part, ...], minutes: float) -> None:
        """Count what a question will cost, before it is asked.

        Raises:
            Problem: it would cost something, and that is not allowed or used up.
        """
        if not session.embedder.paid:
            return
        phrased = session.embedder.phrased
        texts = {phrased(part.value) for part in parts if part.kind == "text"}
        known = session.library.cached_queries(texts, session.embedder.text_space)
        price = sum(text not in known for text in texts) + math.ceil(minutes)
        price += sum(part.kind == "image" for part in parts)
        with self._mutex:
            if price and not self.most:
                raise Problem(
                    402, "paid",
                    f"{session.embedder.name} would have to be paid for this: the server allows "
                    "no paid questions (--allow-paid); what was asked before is free",
                )  # fmt: skip
            if self._spent + price > self.most:
                raise Problem(402, "paid", f"the {self.most} paid questions are used up")
            self._spent += price
