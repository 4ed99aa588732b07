"""How much quantized and HNSW search miss of what exact search finds, on Qdrant's own engine.

    python -m tests.bench.recall [--points 100000] [--dim 512] [--queries 200] [--only scalar]

The engine runs in this process (qdrant-edge). The vectors are made, not embedded, but lie as those
of videos do: topics in a space whose axes matter less and less, videos about a topic, four clips a
video; how near they are to each other is printed. Half of the queries are like a clip, half like a
text: about a topic, and far from all videos, as texts are in spaces shared with pictures. Recall is
the share of the ten (hundred) nearest points, by float32 cosine, that are found. ``ms`` is the
median wall time of a query, ``/ exact`` its ratio to the exact search of the same build, in turn
with it. ``kB a point`` is what must lie in memory to be quick: the vectors or their codes, and the
graph.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import qdrant_edge as edge
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
CLIPS, VIDEOS = 4, 25  # of a video, of a topic
M, EF_CONSTRUCT = 16, 100  # Qdrant's defaults
KS = (10, 100)
BATCH = 500


def unit(vectors: NDArray[Any]) -> Vectors:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


class World:
    """Where topics, videos, clips and queries lie."""

    def __init__(self, dim: int, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        rank = dim // 3
        axes = np.linalg.qr(self.rng.standard_normal((dim, rank)))[0].T
        self.axes = axes * (np.arange(1, rank + 1) ** -0.4)[:, None]
        self.middle = unit(self.rng.standard_normal(dim))
        self.gap = unit(self.rng.standard_normal(dim))

    def around(self, count: int) -> Vectors:
        """Unit vectors in the directions that matter, and a little in all others."""
        inside = unit(self.rng.standard_normal((count, len(self.axes))) @ self.axes)
        return unit(inside + 0.3 * unit(self.rng.standard_normal((count, self.axes.shape[1]))))

    def points(self, count: int) -> Vectors:
        videos = -(-count // CLIPS)
        self.topics = unit(self.around(-(-videos // VIDEOS)) + 0.45 * self.middle)
        of = np.repeat(self.topics, VIDEOS, axis=0)[:videos]
        shown = unit(of + 0.8 * self.around(videos))
        clips = np.repeat(shown, CLIPS, axis=0)[:count]
        return unit(clips + 0.35 * self.around(count))

    def queries(self, count: int, points: Vectors) -> dict[str, Vectors]:
        """Return queries about the topics of the first points that were made."""
        chosen = points[self.rng.integers(len(points), size=count)]
        topics = self.topics[: max(1, len(points) // (CLIPS * VIDEOS))]
        about = topics[self.rng.integers(len(topics), size=count)]
        return {
            "clip": unit(chosen + 0.5 * self.around(count)),
            "text": unit(0.45 * about + 0.6 * self.around(count) + self.gap),
        }


def nearest(points: Vectors, query: Vectors, k: int) -> NDArray[np.intp]:
    scores = points @ query
    found = np.argpartition(-scores, k)[:k]
    return found[np.argsort(-scores[found])]


def describe(points: Vectors, queries: dict[str, Vectors]) -> None:
    rng = np.random.default_rng(1)
    some = rng.integers(len(points) // (CLIPS * VIDEOS), size=2000) * CLIPS * VIDEOS

    def cosine(one: NDArray[Any], other: NDArray[Any]) -> float:
        return float(np.einsum("ij,ij->i", points[one], points[other]).mean())

    print(
        f"cosines: two clips of a video {cosine(some, some + 1):.2f}, two videos of a topic "
        f"{cosine(some, some + CLIPS):.2f}, any two {cosine(some, rng.permutation(some)):.2f}"
    )
    for kind, asked in queries.items():
        best = np.array([np.sort(points @ query)[::-1][[0, 9, 99]] for query in asked[:50]])
        print(f"a query like a {kind}: first {best[:, 0].mean():.3f}, tenth "
              f"{best[:, 1].mean():.3f}, hundredth {best[:, 2].mean():.3f}")  # fmt: skip


@dataclass(frozen=True)
class Build:
    """A way to keep the points; ``kilobytes`` of memory a point by its dimension."""

    quantization: Any
    bits: float

    def kilobytes(self, dim: int, *, graph: bool) -> float:
        links = M * 2 * 4 * 1.1 if graph else 0  # two links a neighbour at the bottom, few above
        return (dim * self.bits / 8 + links) / 1000


def builds() -> dict[str, Build]:
    return {
        "none": Build(None, 32),
        "scalar": Build(
            edge.ScalarQuantizationConfig(
                type=edge.ScalarType.Int8, quantile=0.99, always_ram=True
            ),
            8,
        ),
        "binary": Build(edge.BinaryQuantizationConfig(always_ram=True), 1),
    }


def ways(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The searches that are tried on a build, by name; the first is the exact one."""
    yield "exact", {"exact": True}
    if name == "none":
        for ef in (64, 128, 256):
            yield f"HNSW, ef {ef}", {"hnsw_ef": ef}
        return
    for label, rescore, oversampling in (
        ("not rescored", False, 1.0),
        ("rescored", True, 1.0),
        ("rescored, twice as many", True, 2.0),
        ("rescored, four times", True, 4.0),
    ):
        quantization = edge.QuantizationSearchParams(rescore=rescore, oversampling=oversampling)
        yield f"HNSW, ef 128, {label}", {"hnsw_ef": 128, "quantization": quantization}


def filled(folder: Path, build: Build, points: Vectors) -> tuple[Any, float, float]:
    """Return a shard with all points and a graph; also the seconds of writing and of indexing."""
    config = edge.EdgeConfig(
        vectors=edge.EdgeVectorParams(size=points.shape[1], distance=edge.Distance.Cosine),
        hnsw_config=edge.HnswIndexConfig(m=M, ef_construct=EF_CONSTRUCT, full_scan_threshold=10),
        quantization_config=build.quantization,
        optimizers=edge.EdgeOptimizersConfig(default_segment_number=1, indexing_threshold=100),
    )
    shard = edge.EdgeShard.create(str(folder), config)
    began = time.monotonic()
    for start in range(0, len(points), BATCH):
        rows = [
            edge.Point(str(uuid.UUID(int=start + i)), vector.tolist(), {})
            for i, vector in enumerate(points[start : start + BATCH])
        ]
        shard.update(edge.UpdateOperation.upsert_points(rows))
    written = time.monotonic()
    shard.optimize()
    return shard, written - began, time.monotonic() - written


def ask(shard: Any, query: Vectors, k: int, params: Any) -> tuple[list[int], float]:
    request = edge.QueryRequest(
        limit=k, query=edge.Query.Nearest(query.tolist()), params=params, with_payload=False
    )
    began = time.perf_counter()
    hits = shard.query(request)
    return [uuid.UUID(str(hit.id)).int for hit in hits], time.perf_counter() - began


def try_build(
    name: str, build: Build, points: Vectors, queries: dict[str, Vectors],
    truth: dict[str, Sequence[NDArray[np.intp]]],
) -> None:  # fmt: skip
    with tempfile.TemporaryDirectory() as made:
        shard, writing, indexing = filled(Path(made, "shard"), build, points)
        print(f"{name}: written in {writing:.0f} s, indexed in {indexing:.0f} s", flush=True)
        tried = {label: edge.SearchParams(**way) for label, way in ways(name)}
        right = {label: {(kind, k): 0 for kind in queries for k in KS} for label in tried}
        taken: dict[str, list[float]] = {label: [] for label in tried}
        for kind, asked in queries.items():
            for query, wanted in zip(asked, truth[kind], strict=True):
                for label, params in tried.items():
                    for k in KS:
                        found, seconds = ask(shard, query, k, params)
                        right[label][kind, k] += len(set(found) & set(wanted[:k].tolist()))
                        if k == KS[0]:
                            taken[label].append(seconds)
        shard.close()
    exact = statistics.median(taken["exact"])
    for label in tried:
        shares = [right[label][kind, k] / (k * len(queries[kind])) for kind in queries for k in KS]
        median = statistics.median(taken[label])
        graph = label != "exact"
        kilobytes = (build if graph else builds()["none"]).kilobytes(points.shape[1], graph=graph)
        cells = [*(f"{share:.3f}" for share in shares), f"{median * 1e3:.2f}",
                 f"{median / exact:.3f}", f"{kilobytes:.2f}"]  # fmt: skip
        print(f"| {name} | {label} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--queries", type=int, default=200, help="of each kind")
    parser.add_argument("--only", choices=sorted(builds()), help="one way to keep the points")
    options = parser.parse_args()
    world = World(options.dim)
    points = world.points(options.points)
    queries = world.queries(options.queries, points)
    describe(points, queries)
    truth = {
        kind: [nearest(points, query, KS[-1]) for query in asked] for kind, asked in queries.items()
    }
    columns = [f"{kind}@{k}" for kind in queries for k in KS]
    print(f"| kept | search | {' | '.join(columns)} | ms | / exact | kB a point |")
    print("|---|---|" + "--:|" * (len(columns) + 3))
    for name, build in builds().items():
        if options.only in (None, name):
            try_build(name, build, points, queries, truth)


if __name__ == "__main__":
    main()
