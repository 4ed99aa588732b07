"""vidrec recommends videos by what is in them.

``vidrec.open(…)`` is the Python interface; nothing else is imported before it is asked for.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vidrec.api import open_videos as open
    from vidrec.conditions import Condition
    from vidrec.search.query import Part, Query
    from vidrec.search.session import Answer

__version__ = "0.1.0"
__all__ = ["Answer", "Condition", "Part", "Query", "__version__", "open"]
# Nothing phones home. Each library reads its switch when it is imported, so they stand here, before
# any other import of vidrec: in a plug-in, a worker or a notebook too. What a user has set stands.
for _switch, _off in {
    "ORT_DISABLE_TELEMETRY": "1",  # ONNX Runtime since 1.29: events, and a device id in the cache
    "HF_HUB_DISABLE_TELEMETRY": "1",  # Hugging Face's hub client, which fastembed downloads with
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}.items():
    os.environ.setdefault(_switch, _off)

_HOMES = {
    "open": ("vidrec.api", "open_videos"),
    "Part": ("vidrec.search.query", "Part"),
    "Query": ("vidrec.search.query", "Query"),
    "Answer": ("vidrec.search.session", "Answer"),
    "Condition": ("vidrec.conditions", "Condition"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'vidrec' has no attribute {name!r}")
    from importlib import import_module

    module, attribute = _HOMES[name]
    return getattr(import_module(module), attribute)
