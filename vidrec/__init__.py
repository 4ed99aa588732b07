"""vidrec recommends videos by what is in them."""

import os

__version__ = "0.1.0"

# Nothing phones home. Each library reads its switch when it is imported, so they stand here, before
# any other import of vidrec: in a plug-in, a worker or a notebook too. What a user has set stands.
for _switch, _off in {
    "ORT_DISABLE_TELEMETRY": "1",  # ONNX Runtime since 1.29: events, and a device id in the cache
    "HF_HUB_DISABLE_TELEMETRY": "1",  # Hugging Face's hub client, which fastembed downloads with
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}.items():
    os.environ.setdefault(_switch, _off)
