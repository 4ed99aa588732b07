"""Filters as Qdrant takes them: in its words, and only what a collection's keys allow."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from vidrec.conditions import Condition, Filter, holds, unknown_key
from vidrec.errors import UsageError
from vidrec.stores.qdrant.engine import Engine, UnindexedError
from vidrec.stores.qdrant.points import RESERVED, kind_of
from vidrec.types import PAYLOAD_FIELDS

if TYPE_CHECKING:
    from vidrec.sections import QdrantSettings

BOUNDS = {"<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Allowed:
    """What may be asked of a collection, by the payload keys that its points have."""

    engine: Engine
    name: str

    def check_keys(self, keys: Iterable[str]) -> None:
        """Refuse a key that no point has.

        Raises:
            UsageError: one is neither vidrec's nor on any point.
        """
        for key in keys:
            if key not in PAYLOAD_FIELDS and (key in RESERVED or not self._has(key)):
                raise unknown_key(key, self.engine.keys(self.name) - {*PAYLOAD_FIELDS, *RESERVED})

    def _has(self, key: str) -> bool:
        try:
            return self.engine.count(self.name, Filter(), having=key) > 0
        except UnindexedError:
            return False  # every key that a point has was indexed when it was written

    def spelt_out(self, where: Filter) -> Filter:
        """Replace patterns and orders of texts by the values that fit: Qdrant has neither."""

        def spelt_out(condition: Condition) -> Condition:
            if condition.op != "~" and not (
                condition.op in BOUNDS and isinstance(condition.value, str)
            ):
                return condition
            self.check_keys([condition.key])
            values = self.engine.values(self.name, condition.key)
            fitting = tuple(value for value in values if holds(condition, value))
            return Condition(condition.key, "in", fitting)

        return replace(where, conditions=tuple(map(spelt_out, where.conditions)))

    def by_indexes(self, where: Filter) -> Filter:
        """Return a filter that strict mode takes: every condition by a key's index.

        Values of another kind than the index are left out: where it is of numbers, no point has a
        text there.
        """
        kinds = self.engine.indexed(self.name)

        def fitting(condition: Condition) -> Condition:
            kind = kinds.get(condition.key)
            kept = tuple(v for v in condition.values if v is None or kind_of(v) == kind)
            if condition.op in BOUNDS:
                return condition if kept else Condition(condition.key, "in", ())
            return replace(condition, value=kept)

        return replace(where, conditions=tuple(map(fitting, where.conditions)))


def quantization(models: Any, kind: str) -> Any:
    """Return how vectors are kept for finding, in the words of ``models``; None as they are."""
    if kind == "none":
        return None
    if kind == "binary":
        config = models.BinaryQuantizationConfig(always_ram=True)
    else:
        int8 = getattr(models.ScalarType, "INT8", None) or models.ScalarType.Int8
        config = models.ScalarQuantizationConfig(type=int8, quantile=0.99, always_ram=True)
    wrapped = getattr(models, f"{kind.capitalize()}Quantization", None)  # qdrant_client's only
    return wrapped(**{kind: config}) if wrapped else config


def search_params(models: Any, settings: QdrantSettings) -> Any:
    """Return how to search, in the words of ``models`` (qdrant_client's or qdrant_edge's)."""
    if settings.exact:
        return models.SearchParams(exact=True)
    if settings.quantization == "none":
        return models.SearchParams(hnsw_ef=128)
    # Quantized scores only find candidates; these are scored again by their real vectors.
    rescore = models.QuantizationSearchParams(rescore=True, oversampling=2.0)
    return models.SearchParams(hnsw_ef=128, quantization=rescore)


def conditions(models: Any, where: Filter, having: str | None = None) -> Any | None:
    """Return a filter in the words of ``models`` (qdrant_client's or qdrant_edge's), or None.

    With ``having`` only points match that have a value under that key.

    Both libraries name and nest their conditions alike. Values compare as ``vidrec.conditions``
    says; of ``~`` and orders of texts there are none left: the store has looked what fits.
    """
    must, must_not = [], [] if having is None else [_empty(models, having)]
    if where.scope is not None:
        must.append(_any_of(models, "scope", [where.scope]))
    if where.exclude_videos:
        must_not.append(_any_of(models, "video_id", sorted(where.exclude_videos)))
    for condition in where.conditions:
        if condition.op in BOUNDS:
            bound = {BOUNDS[condition.op]: float(condition.value)}
            within = _range(models)(**bound)
            must.append(models.FieldCondition(key=path(condition.key), range=within))
        elif condition.op == "!=":
            must_not.append(_equal(models, condition))
        else:
            must.append(_equal(models, condition))
    if not must and not must_not:
        return None
    return models.Filter(must=must or None, must_not=must_not or None)


def _equal(models: Any, condition: Condition) -> Any:
    """Return what holds of a key that has one of the condition's values."""
    key, values = condition.key, condition.values
    texts = [value for value in values if isinstance(value, str)]
    if not values:
        return _any_of(models, "video_id", [])  # nothing fits
    alternatives = [_any_of(models, key, texts)] if texts else []
    for value in values:
        if value is None:
            alternatives.append(_empty(models, key))
        elif isinstance(value, bool):
            match = models.MatchValue(value=value)
            alternatives.append(models.FieldCondition(key=path(key), match=match))
        elif not isinstance(value, str):
            number = _range(models)(gte=float(value), lte=float(value))
            alternatives.append(models.FieldCondition(key=path(key), range=number))
    return alternatives[0] if len(alternatives) == 1 else models.Filter(should=alternatives)


def path(key: str) -> str:
    """Return a payload key as Qdrant's JSON path."""
    if _PLAIN_KEY.fullmatch(key):
        return key
    if '"' in key:
        raise UsageError(f"Qdrant cannot filter on a key with a quotation mark. Received: {key}")
    return json.dumps(key, ensure_ascii=False)


def _any_of(models: Any, key: str, values: Sequence[str]) -> Any:
    return models.FieldCondition(key=path(key), match=models.MatchAny(any=values))


def _empty(models: Any, key: str) -> Any:
    if hasattr(models, "PayloadField"):
        return models.IsEmptyCondition(is_empty=models.PayloadField(key=path(key)))
    return models.IsEmptyCondition(path(key))


def _range(models: Any) -> Any:
    return models.RangeFloat if hasattr(models, "RangeFloat") else models.Range
