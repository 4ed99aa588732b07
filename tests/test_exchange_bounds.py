"""What an export may replace, what an import may bring, and one library that takes in another."""

from __future__ import annotations

import datetime
import decimal
import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.disks import mounted
from tests.test_exchange import OWN, contents, fill, vidrec
from vidrec.cli import app
from vidrec.config import load_settings
from vidrec.ingest.scan import hash_file
from vidrec.library import Library
from vidrec.search.answers import fields_of
from vidrec.types import Embedding, Recommendation


def export(*arguments: object, code: int = 0) -> str:
    return vidrec("export", *arguments, "--embedder", "words", code=code).output


def lines_of(path: Path) -> int:
    return len(path.read_text().splitlines())


def test_only_an_earlier_export_is_replaced(tmp_path: Path) -> None:
    fill(load_settings().library)
    notes = tmp_path / "notes.jsonl"
    for content in ("my notes\n", '{"a": 1}\n', "[" * 9999, "PAR1 x"):
        notes.write_text(content)
        assert "is no export of vidrec" in export(notes, code=2)
        assert notes.read_text() == content
    export(notes, "--force")
    assert lines_of(notes) == 20
    export(notes)  # now it is one
    (tmp_path / "empty.jsonl").touch()
    export(tmp_path / "empty.jsonl")
    assert lines_of(tmp_path / "empty.jsonl") == 20
    notes.chmod(0o600)
    export(notes)
    assert stat.S_IMODE(notes.stat().st_mode) == 0o600  # who may read it stays as it was
    notes.chmod(0o400)
    assert "is read-only" in export(notes, code=2)
    export(notes, "--force")


def test_a_link_stays_and_what_it_names_is_replaced(tmp_path: Path) -> None:
    fill(load_settings().library)
    (tmp_path / "big").mkdir()
    link = tmp_path / "v.jsonl"
    link.symlink_to("big/v.jsonl")
    for _ in range(2):
        export(link)
        assert link.is_symlink()
        assert lines_of(tmp_path / "big" / "v.jsonl") == 20
    loop = tmp_path / "loop.jsonl"
    loop.symlink_to(loop)
    assert "cannot write" in export(loop, code=1) and loop.is_symlink()
    link.unlink()
    link.symlink_to("no/such/v.jsonl")
    export(link)
    assert lines_of(tmp_path / "no" / "such" / "v.jsonl") == 20


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_a_pipe_is_written_into(tmp_path: Path, kind: str) -> None:
    fill(load_settings().library)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()), daemon=True)
    reader.start()
    export(pipe, *(["--file-format", kind] if kind == "parquet" else []))
    reader.join(30)
    assert pipe.is_fifo()
    (tmp_path / "copy").write_bytes(read[0])
    vidrec("import", tmp_path / "copy", "--file-format", kind, "--library", tmp_path / "other")
    assert contents(tmp_path / "other") == contents(load_settings().library)


def test_a_dash_is_stdout_and_stdin(tmp_path: Path) -> None:
    fill(load_settings().library)
    out = subprocess.run(
        [sys.executable, "-m", "vidrec", "export", "-", "--embedder", "words"], capture_output=True
    ).stdout
    assert out.count(b"\n") == 20
    line = f"{sys.executable} -m vidrec export - --embedder words >&-"
    closed = subprocess.run(line, shell=True, capture_output=True, text=True)
    assert closed.returncode == 1
    assert closed.stderr == (
        "error: cannot write -: stdout is closed: there is nowhere to write the results\n"
    )
    other = tmp_path / "other"
    arguments = ["import", "-", "--library", str(other)]
    assert CliRunner().invoke(app, arguments, input=out).exit_code == 0
    assert contents(other) == contents(load_settings().library)


def table(path: Path, columns: dict[str, object]) -> Path:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    vectors = pa.array([[1.0, 0.0]] * 3, pa.list_(pa.float32()))
    names = ["filename", "vector", *columns]
    filled = [pa.array(["a.mp4", "b.mp4", "c.mp4"]), vectors, *map(pa.array, columns.values())]
    pq.write_table(pa.table(filled, names=names), path)
    return path


def test_columns_of_every_kind_are_taken_or_named(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    days = [datetime.date(2024, 1, day) for day in (1, 2, 3)]
    columns = {
        "day": days,
        "at": [datetime.datetime(2024, 1, 1, 12, tzinfo=datetime.timezone.utc)] * 3,
        "price": [decimal.Decimal("1.5")] * 3,
        "count": [decimal.Decimal("7")] * 3,
        "year": np.array([2024] * 3, np.int16),
        "tags": [["x"]] * 3,
        "counts": pa.array([[1, 2]] * 3, pa.large_list(pa.int32())),
        "days": pa.array([[day] for day in days], pa.list_(pa.date32(), 1)),
        "seen": pa.array([1_700_000_000_123_456_789] * 3, pa.timestamp("ns")),
        "took": pa.array([1_500_000_001] * 3, pa.duration("ns")),
        "label": days,
        "never": pa.array([2**62] * 3, pa.timestamp("us")),
        "long": [list(range(1001))] * 3,
        "other": [[0.5, 0.5]] * 3,  # a vector, too
        "raw": [b"x"] * 3,
        "place": [{"x": 1}] * 3,
    }
    said = vidrec("import", table(tmp_path / "a.parquet", columns)).stderr
    assert "the columns long, never, other, place, raw" in said
    with Library(load_settings().library) as library:
        video = next(library.videos())
        (print_of,) = library.fingerprints()
        extra = library.video_embeddings(video.id, str(print_of))[0].extra
    assert video.label == "2024-01-01"
    assert extra == {
        "day": "2024-01-01", "at": "2024-01-01T12:00:00+00:00", "price": 1.5, "count": 7,
        "year": 2024, "tags": ["x"], "counts": [1, 2], "days": ["2024-01-01"],
        "seen": "2023-11-14T22:13:20.123456", "took": 1.5,
    }  # fmt: skip


def test_a_column_that_is_there_twice_is_named(tmp_path: Path) -> None:
    path = table(tmp_path / "a.parquet", {"filename": ["x"] * 3})
    assert "the column 'filename' more than once" in vidrec("import", path, code=2).output


@pytest.mark.parametrize("name", ["Emb", "made.by"])
def test_vectors_of_another_name_are_mapped(tmp_path: Path, name: str) -> None:
    rows = [[float(n), 1.0] for n in range(3)]
    made = rows if name == "Emb" else [{"by": row} for row in rows]
    own = [None] * 3
    path = table(tmp_path / "a.parquet", {name.partition(".")[0]: made, "embedding": own})
    vidrec("import", path, "--map", f"vector={name}")
    with Library(load_settings().library) as library:
        (print_of,) = map(str, library.fingerprints())
        videos = [video.id for video in library.videos()]
        firsts = [library.video_embeddings(video, print_of)[0].vector[0] for video in videos]
    assert sorted(firsts) == pytest.approx([0, 0.5**0.5, 0.8**0.5])
    alone = tmp_path / "b.jsonl"
    alone.write_text('{"id": 1, "Emb": [1, 2]}')
    assert "--map vector=NAME" in vidrec("import", alone, code=2).output


def test_vectors_of_another_length_are_named(tmp_path: Path) -> None:
    rows = [[1, 2, 3], [1, 2], [3, 1, 2]]
    made = tmp_path / "a.jsonl"
    made.write_text("\n".join(json.dumps({"id": n, "vector": v}) for n, v in enumerate(rows)))
    said = vidrec("import", made, code=4).output
    assert "line 2: the vector has 2 numbers, those before it 3" in said
    with Library(load_settings().library) as library:
        assert [fingerprint.dim for fingerprint in library.fingerprints()] == [3]


def test_a_full_folder_for_copies_is_named(tmp_path: Path) -> None:
    line = b'{"id": 1, "vector": [1, 2]}\n' * 9999
    command = [sys.executable, "-m", "vidrec", "import", "-"]
    with mounted(tmp_path / "disk", "size=64k") as disk:
        environment = {**os.environ, "TMPDIR": str(disk)}
        done = subprocess.run(command, input=line, capture_output=True, env=environment)
        full = (
            f"error: {disk}, where a copy is kept meanwhile, is full: set TMPDIR to another folder"
        )
        assert (done.returncode, done.stderr.decode()) == (1, f"{full}\n")
    closed = subprocess.run(f"{' '.join(command)} <&-", shell=True, capture_output=True, text=True)
    assert closed.returncode == 0 and "imported 0 embeddings" in closed.stderr


def test_what_unpacks_beyond_measure_is_refused(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    many = 100_000_000
    zeros = pa.ListArray.from_arrays(
        pa.array([0, many], pa.int32()), pa.array(np.zeros(many, np.float32))
    )
    bomb = tmp_path / "bomb.parquet"
    pq.write_table(pa.table({"id": [1], "vector": zeros}), bomb, compression="zstd")
    assert bomb.stat().st_size < 100_000
    assert "more than 65,536 numbers" in vidrec("import", bomb, code=2).output
    config = tmp_path / "vidrec.toml"
    config.write_text("[exchange]\nmax_rows = 2")
    said = vidrec("--config", config, "import", table(tmp_path / "a.parquet", {}), code=2).output
    assert "more than 2 rows" in said


def test_a_row_that_names_a_file_reads_it_only_where_the_user_says(tmp_path: Path) -> None:
    folder, secret = tmp_path / "videos", tmp_path / "secret"
    folder.mkdir()
    (folder / "a.mp4").write_bytes(b"video")
    secret.write_bytes(b"secret")
    (folder / "link.mp4").symlink_to(secret)
    names = ["a.mp4", str(folder / "a.mp4"), str(secret), "../secret", "link.mp4"]
    rows = [{"path": name, "vector": [1, 0]} for name in names]
    made = tmp_path / "made.jsonl"
    made.write_text("\n".join(map(json.dumps, rows)))
    hashes = {hash_file(folder / "a.mp4"), hash_file(secret)}
    for number, options in enumerate([(), ("--files", folder)]):
        library = tmp_path / str(number)
        vidrec("import", made, "--library", library, *options)
        with Library(library) as opened:
            read = {video.id for video in opened.videos()} & hashes
        assert read == (hashes - {hash_file(secret)} if options else set())


@pytest.mark.parametrize("url", ["--script=/tmp/x.lua", "file:///etc/passwd", "/etc/passwd"])
def test_what_a_row_calls_a_url_is_not_handed_to_a_player(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDREC_LIBRARY", str(tmp_path / "library"))
    with Library(tmp_path / "library"):
        pass
    last = tmp_path / "library" / "last-answer.json"
    row = Recommendation(1, 0.5, "0" * 64, None, url, "a.mp4", None, 0.0, 1.0, None)
    last.write_text(json.dumps([fields_of(row)]))
    said = vidrec("open", 1, "--dry-run", "--player", "true", code=2).output
    assert "no address that can be played" in said
    for ruin in ("[1]", "[" * 100_000, '[["a"]]'):
        last.write_text(ruin)
        assert "nothing was recommended" in vidrec("open", 1, code=2).output


def test_libraries_become_one(tmp_path: Path) -> None:
    one, other = load_settings().library, tmp_path / "other"
    fill(one, videos=3)
    fill(other, videos=5)
    with Library(other) as library:
        video = library.find_video(f"{1:064x}")
        library.add_video(type(video)(video.id, video.filename, label="dog"))
        found = library.video_embeddings(video.id, str(OWN))
        turned = [Embedding(video.id, str(OWN), e.scope, e.start_sec, e.end_sec, -e.vector)
                  for e in found]  # fmt: skip
        library.save_embeddings(video.id, turned, 10.0)
        library.set_fields([(video.id, {"year": 1999, "seen": "no"})])
    with Library(one) as library:
        library.set_fields([(video.id, {"year": 2001})])
    before = contents(one)
    said = vidrec("import", "--library", other).stderr
    assert "took 2 videos and 8 embeddings" in said and "3 differences" in said
    assert "year is 2001, there 1999" in said
    with Library(one) as library:
        assert library.fields_of([video.id])[video.id] == {"year": 2001, "seen": "no"}
    assert "label is cat, there dog" in said and "other vectors of words" in said
    after = contents(one)
    assert set(map(repr, before[3:])) < set(map(repr, after[3:]))
    vidrec("import", other)  # a folder that is a library, and nothing new in it
    assert contents(one) == after
    merged = tmp_path / "merged"
    vidrec("import", one, "--library", merged)
    assert contents(merged) == after
    assert "name another" in vidrec("import", one, code=2).output
    assert "no library in" in vidrec("import", "--library", tmp_path / "none", code=1).output
    assert "nothing to import" in vidrec("import", code=2).output
