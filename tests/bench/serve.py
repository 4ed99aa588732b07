"""How the server bears many clients, beside the session that it asks.

    python -m tests.bench.serve [--points 100000] [--clients 50] [--seconds 60] [--slow 1000]
                                [--phases one,many,full,again,slow] [--keep FOLDER]

A library of random vectors is indexed and served by the command, in a process of its own. Clients
ask from another process over connections that stay open: first one by one, then so many at once
who pause for a second between two questions, then without a pause, then beside connections that
are slow (a third never asks, a third sends its request letter by letter, a third asks and reads
nothing). In the same run, before, the session is asked alone. Every answer is checked.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.bench.startup import ROOT, command_line, fill, run

TEXTS = [f"a {a} {b}" for a in ("red", "dark", "slow", "bright") for b in range(50)]
ALONE = """
import json, random, sys, time
from vidrec.config import load_settings
from vidrec.search.query import Part, Query
from vidrec.search.session import Session
texts, rounds = json.loads(sys.argv[1]), int(sys.argv[2])
with Session(load_settings()) as session:
    for text in texts:
        session.recommend(Query((Part("text", text),)))
    taken, used = [], time.process_time()
    for number in range(rounds):
        started = time.perf_counter()
        session.recommend_with_moments(Query((Part("text", random.choice(texts)),)), 8)
        taken.append(time.perf_counter() - started)
    used = time.process_time() - used
print(json.dumps([taken, used]))
"""


@dataclass
class Tally:
    """Seconds of each answer, and what was no answer."""

    taken: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


async def ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, text: str, tally: Tally
) -> None:
    """Ask one question over an open connection."""
    path = f"/api/recommend?q={quote(text)}&all=1"
    started = time.perf_counter()
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = re.search(r"(?i)content-length: (\d+)", head)
    body = await reader.readexactly(int(length[1])) if length else b""
    tally.taken.append(time.perf_counter() - started)
    if " 200 " not in head or len(json.loads(body)["results"]) != 10:
        tally.wrong.append(head.splitlines()[0])


async def client(port: int, until: float, pause: float, tally: Tally) -> None:
    """Ask until a time, with a pause between two questions."""
    await asyncio.sleep(random.random() * pause)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 22)
    try:
        while time.monotonic() < until:
            await ask(reader, writer, random.choice(TEXTS), tally)
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))
    except (OSError, asyncio.IncompleteReadError) as exc:
        tally.wrong.append(repr(exc))
    finally:
        writer.close()


async def clients(port: int, count: int, seconds: float, pause: float) -> Tally:
    tally, until = Tally(), time.monotonic() + seconds
    await asyncio.gather(*(client(port, until, pause, tally) for _ in range(count)))
    return tally


async def slow(port: int, number: int, until: float) -> None:
    """Hold a connection and be slow with it; when it is cut, begin again."""
    request = b"GET /api/videos?limit=200 HTTP/1.1\r\nHost: localhost\r\n\r\n"
    while time.monotonic() < until:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 10)
            writer.transport.pause_reading()
            sent = {0: b"", 1: request[:20], 2: request * 20}[number % 3]
            writer.write(sent)
            for letter in request[20:] if number % 3 == 1 else request * 10:
                await asyncio.sleep(2)
                if writer.is_closing() or time.monotonic() > until:
                    break
                if number % 3 == 1:
                    writer.write(bytes([letter]))
            writer.transport.abort()
        except OSError:
            await asyncio.sleep(1)


async def beside_slow(port: int, many: int, count: int, seconds: float) -> Tally:
    until = time.monotonic() + seconds + 5
    held = [asyncio.create_task(slow(port, number, until)) for number in range(many)]
    await asyncio.sleep(5)
    tally = await clients(port, count, seconds, 1.0)
    for task in held:
        task.cancel()
    await asyncio.gather(*held, return_exceptions=True)
    return tally


@contextmanager
def served(environment: dict[str, str]) -> Iterator[tuple[int, int]]:
    """Run `vidrec serve`; give its process and port."""
    server = subprocess.Popen(
        command_line("serve", "--port", "0"), env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        assert server.stderr is not None
        found = re.search(r":(\d+)/", server.stderr.readline())
        assert found, server.stderr.read()
        yield server.pid, int(found[1])
    finally:
        server.terminate()
        server.wait(20)


def memory(pid: int) -> float:
    """Return the megabytes that a process holds by itself."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    found = re.search(r"RssAnon:\s+(\d+)", text)
    assert found
    return int(found[1]) / 1000


def used_by(pid: int) -> float:
    """Return the processor seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def show(name: str, taken: Sequence[float], used: float, base: float, more: str = "") -> float:
    middle, late = statistics.median(taken), statistics.quantiles(taken, n=20)[-1]
    print(
        f"| {name} | {len(taken):,} | {1000 * middle:.1f} | {1000 * late:.1f} | "
        f"{1000 * max(taken):.0f} | {late / base if base else 1:.2f} | "
        f"{1000 * used / len(taken):.1f} | {more} |",
        flush=True,
    )
    return late


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--slow", type=int, default=1000)
    parser.add_argument("--phases", default="one,many,full,again,slow")
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = options.keep or Path(name)
        environment = {
            **os.environ, "PYTHONPATH": str(ROOT), "VIDREC_LIBRARY": str(folder / "library"),
            "VIDREC_CACHE": str(folder / "cache"), "VIDREC_SERVE_RATE": "0",
        }  # fmt: skip
        if not (folder / "library").exists():
            folder.mkdir(exist_ok=True)
            fill(folder / "library", Path(name) / "matrix.f32", options.points)
            run(command_line("index"), environment)
        print(f"{options.points} points, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
        print(
            "| | answers | median ms | p95 ms | worst ms | p95 by that alone | "
            "processor ms an answer | |"
        )
        print("|---|--:|--:|--:|--:|--:|--:|---|")
        alone = subprocess.run(
            [sys.executable, "-c", ALONE, json.dumps(TEXTS), "100"],
            env=environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        taken, used = json.loads(alone.stdout)
        base = show("the session alone", taken, used, 0)
        with served(environment) as (pid, port):
            measure(options, pid, port, base)


def measure(options: argparse.Namespace, pid: int, port: int, base: float) -> None:
    n, seconds, half = options.clients, options.seconds, options.seconds / 2
    phases: dict[str, tuple[str, float, Callable[[], Coroutine[Any, Any, Tally]]]] = {
        "one": ("one client", 10, lambda: clients(port, 1, 10, 0)),
        "many": (f"{n} clients, a question a second", seconds,
                 lambda: clients(port, n, seconds, 1)),
        "full": (f"{n} clients without a pause", half, lambda: clients(port, n, half, 0)),
        "again": (f"{n} clients without a pause, again", half, lambda: clients(port, n, half, 0)),
        "slow": (f"{n} clients, a question a second, beside {options.slow} slow ones", half,
                 lambda: beside_slow(port, options.slow, n, half)),
    }  # fmt: skip
    wrong: list[str] = []
    asyncio.run(clients(port, 1, 5, 0))
    for phase in options.phases.split(","):
        name, length, asking = phases[phase]
        before = used_by(pid)
        found = asyncio.run(asking())
        used, rate = used_by(pid) - before, len(found.taken) / length
        show(name, found.taken, used, base, f"{rate:.0f} a second, {memory(pid):.0f} MB")
        wrong.extend(found.wrong)
    print(f"\nwrong answers: {len(wrong)} {wrong[:3]}")


if __name__ == "__main__":
    main()
