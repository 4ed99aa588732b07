"""Evaluate: over a real library, with an embedder that can be reckoned by hand."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from tests import word_embedder
from tests.asking import ask
from tests.word_embedder import WORDS, WordEmbedder
from vidrec.cli import app
from vidrec.config import Settings, load_settings
from vidrec.errors import BelowMinimum, LibraryError, UsageError
from vidrec.evaluate import evaluate as module
from vidrec.evaluate.captions import VideoNames, read_captions
from vidrec.evaluate.evaluate import evaluate
from vidrec.evaluate.quality import check_minimums, parse_minimums
from vidrec.ingest.index import index
from vidrec.library import Library
from vidrec.types import Embedding, Video

FINGERPRINT = WordEmbedder().fingerprint


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    word_embedder.install(tmp_path, monkeypatch)
    return load_settings(
        overrides={"library": tmp_path / "library", "embedder.name": "words"},
    )


def axis(words: str) -> np.ndarray:
    counts = np.array([words.split().count(word) for word in WORDS], np.float32)
    return counts / np.linalg.norm(counts)


def add(settings: Settings, name: str, *clips: str, **about: str) -> str:
    """Put a video into the library whose clips show these words; return its id."""
    path = Path("/videos") / name
    with Library(settings.library) as library:
        number = len(list(library.videos())) + 1
        video = Video(f"{number:064x}", path.name, path, **about)  # type: ignore[arg-type]
        library.add_video(video)
        library.register(FINGERPRINT)
        vectors = [axis(clip) for clip in clips]
        mean = np.mean(vectors, axis=0)
        rows = [
            Embedding(video.id, str(FINGERPRINT), "clip", 10.0 * i, 10.0 * i + 10, vector)
            for i, vector in enumerate(vectors)
        ]
        whole = (mean / np.linalg.norm(mean)).astype(np.float32)
        rows.append(Embedding(video.id, str(FINGERPRINT), "video", 0, 10 * len(clips), whole))
        library.save_embeddings(video.id, rows, 10.0)
    return video.id


def captions_file(tmp_path: Path, *lines: str, header: str = "file,caption") -> Path:
    path = tmp_path / "captions.csv"
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def values(metrics: object) -> dict[str, float]:
    return {metric.name: metric.value for metric in metrics}  # type: ignore[attr-defined]


def three(settings: Settings) -> None:
    add(settings, "mixed.mp4", "red red red green", "blue cat")
    add(settings, "red.mp4", "red")
    add(settings, "blue.mp4", "blue")


def test_text_to_video_by_hand(settings: Settings, tmp_path: Path) -> None:
    three(settings)
    # "blue cat" is the second clip of mixed, "red green" is nearest to its first one, and
    # "red cat" to red.
    path = captions_file(
        tmp_path, "red.mp4,red", "mixed.mp4,blue cat", "blue.mp4,red green", "mixed.mp4,red cat"
    )
    report = evaluate(settings, captions=path)
    assert report.text is not None and report.neighbours is None
    assert (report.text.queries, report.text.videos, report.text.scope) == (4, 3, "clip")
    found = values(report.text.metrics)
    assert found == pytest.approx(
        {
            "R@1": 2 / 4, "R@5": 1, "R@10": 1, "MRR": (1 + 1 + 1 / 3 + 1 / 2) / 4,
            "median rank": 1.5,
        }
    )  # fmt: skip
    chance = {metric.name: metric.chance for metric in report.text.metrics}
    assert chance == pytest.approx(
        {"R@1": 1 / 3, "R@5": 1, "R@10": 1, "MRR": (1 + 1 / 2 + 1 / 3) / 3, "median rank": 2}
    )
    for metric in report.metrics:
        assert metric.low <= metric.value <= metric.high


def test_the_scope_changes_what_is_ranked(settings: Settings, tmp_path: Path) -> None:
    three(settings)
    path = captions_file(tmp_path, "blue.mp4,blue blue cat")
    by_clip = evaluate(settings, captions=path)  # mixed has the nearest clip
    by_video = evaluate(settings, captions=path, scope="video")  # its mean is farther
    assert by_clip.text is not None and by_video.text is not None
    assert values(by_clip.text.metrics)["MRR"] == 0.5
    assert values(by_video.text.metrics)["MRR"] == 1
    assert by_video.text.scope == "video"


def test_neighbours_of_a_label(settings: Settings) -> None:
    for name, words, label in [
        ("1.mp4", "red", "warm"),
        ("2.mp4", "red red red green", "warm"),
        ("3.mp4", "blue", "cold"),
        ("4.mp4", "blue blue green", "cold"),
        ("5.mp4", "cat", "animal"),
    ]:
        add(settings, name, words, label=label)
    add(settings, "6.mp4", "red")  # no label: no part of it
    report = evaluate(settings)
    assert report.videos == 6 and report.text is None
    assert report.neighbours is not None
    neighbours = report.neighbours
    assert (neighbours.labelled, neighbours.queries, neighbours.alone) == (5, 4, 1)
    assert (neighbours.by, neighbours.labels) == ("label", 3)
    assert values(neighbours.metrics) == pytest.approx({"P@1": 1, "P@10": 1 / 4, "mAP": 1})
    chance = {metric.name: metric.chance for metric in neighbours.metrics}
    assert chance == pytest.approx({"P@1": 1 / 4, "P@10": 1 / 4, "mAP": (25 / 12) / 4})


def test_the_own_group_can_be_left_out(settings: Settings) -> None:
    add(settings, "1.mp4", "red", label="a", group="g1")
    add(settings, "2.mp4", "red", label="a", group="g1")
    add(settings, "3.mp4", "red green", label="b", group="g2")
    add(settings, "4.mp4", "green", label="a", group="g3")
    with_group = evaluate(settings).neighbours
    without = evaluate(settings, exclude_group=True).neighbours
    assert with_group is not None and without is not None
    assert values(with_group.metrics)["P@1"] == pytest.approx(2 / 3)
    assert values(without.metrics)["P@1"] == 0
    by_group = evaluate(settings, by="group").neighbours
    assert by_group is not None and (by_group.queries, by_group.alone) == (2, 2)


def test_labels_from_a_column(settings: Settings, tmp_path: Path) -> None:
    three(settings)
    path = captions_file(
        tmp_path,
        "red.mp4,red,Plain", "blue.mp4,blue,Plain", "mixed.mp4,blue cat,",
        header="file,caption,Category",
    )  # fmt: skip
    report = evaluate(settings, captions=path, by="category")
    assert report.neighbours is not None
    assert (report.neighbours.by, report.neighbours.labelled) == ("category", 2)
    with pytest.raises(UsageError, match=r"category.*Received: colour"):
        evaluate(settings, captions=path, by="colour")


def test_unused_rows_are_named(settings: Settings, tmp_path: Path) -> None:
    three(settings)
    add(settings, "a/same.mp4", "red")
    add(settings, "b/same.mp4", "blue")
    with Library(settings.library) as library:
        library.add_video(Video("f" * 64, "bare.mp4", Path("/videos/bare.mp4")))
    path = captions_file(
        tmp_path, "red.mp4,red", "absent.mp4,red", "same.mp4,red", "b/same.mp4,blue",
        "bare.mp4,red", "blue.mp4,", "blue.mp4", "", "sub\\folder\\red.mp4,red",
    )  # fmt: skip
    report = evaluate(settings, captions=path)
    assert report.text is not None
    assert report.text.queries == 3
    assert [(row.line, row.file, row.reason) for row in report.text.skipped] == [
        (3, "absent.mp4", "no such video in the library"),
        (4, "same.mp4", "2 videos have this name: write more of the path"),
        (6, "bare.mp4", "the video is not embedded"),
        (7, "blue.mp4", "no text"),
        (8, "blue.mp4", "no text"),
    ]
    only = captions_file(tmp_path, "absent.mp4,red")
    with pytest.raises(UsageError, match=r"no row.*line 2, absent\.mp4: no such video"):
        evaluate(settings, captions=only)


def test_names_match_however_accents_are_written() -> None:
    video = Video("0" * 64, "Café.mp4", Path("/v/Café.mp4"))
    names = VideoNames([video])
    assert names.find("Café.mp4") == [video]
    assert names.find("v/Café.mp4") == [video]
    assert names.find("") == []


def test_the_outcome_is_repeatable(settings: Settings, tmp_path: Path) -> None:
    three(settings)
    path = captions_file(tmp_path, "red.mp4,red", "mixed.mp4,blue cat", "blue.mp4,cat")
    assert evaluate(settings, captions=path) == evaluate(settings, captions=path)
    with Library(settings.library) as library:  # no text is embedded twice
        assert library.cached_queries(["blue cat"], str(FINGERPRINT))


def test_large_libraries_are_sampled(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_QUERIES", 4)
    for number in range(8):
        add(settings, f"{number}.mp4", "red" if number % 2 else "blue", label=str(number % 2))
    neighbours = evaluate(settings).neighbours
    assert neighbours is not None
    assert (neighbours.labelled, neighbours.queries) == (8, 4)
    assert values(neighbours.metrics)["P@1"] == 1


def test_nothing_to_measure(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(LibraryError, match="vidrec embed"):
        evaluate(settings)
    with Library(settings.library):
        pass
    with pytest.raises(LibraryError, match="no embeddings of words:"):
        evaluate(settings)
    three(settings)
    with pytest.raises(UsageError, match="no two videos share a label"):
        evaluate(settings)
    path = captions_file(tmp_path, "red.mp4,red")
    with pytest.raises(UsageError, match="no two videos share a group"):
        evaluate(settings, captions=path, by="group")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"file,caption\n", "no rows"),
        (b"file,caption\n,\n\n", "no rows"),
        (b"file,text\na,b\n", "needs one column 'caption', it has: file, text"),
        (b"file,caption,caption\na,b,c\n", "the column 'caption' more than once"),
        (b"file,caption\ncaf\xe9.mp4,x\n", "not UTF-8"),
        ("file,caption\na,b\n".encode("utf-16-le"), "not UTF-8"),
        (b"file,caption\na,b\0\n", "not UTF-8"),
        (b'file,caption\n"a,b\n', "not a CSV"),
        (b"file,caption\na," + b"x" * 200_000 + b"\n", "not a CSV"),
    ],
)
def test_bad_captions_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "captions.csv"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=message):
        read_captions(path)


def test_unreadable_captions_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.csv", tmp_path):
        with pytest.raises(UsageError, match="cannot read"):
            read_captions(path)


def test_captions_as_spreadsheets_write_them(tmp_path: Path) -> None:
    path = tmp_path / "captions.csv"
    path.write_bytes(
        b'\xef\xbb\xbfCaption, File ,extra\r\n"two\nlines, ""so""",a.mp4,x\r\nplain,b.mp4\r\n'
    )
    rows = read_captions(path)
    assert [(row.file, row.text) for row in rows] == [
        ("a.mp4", 'two lines, "so"'),
        ("b.mp4", "plain"),
    ]
    assert rows[0].columns["extra"] == "x"


def test_minimums(settings: Settings, tmp_path: Path) -> None:
    three(settings)
    path = captions_file(tmp_path, "red.mp4,red", "mixed.mp4,red", "mixed.mp4,blue cat")
    report = evaluate(settings, captions=path)  # R@1 is 2/3
    check_minimums(report, parse_minimums(["R@1=0.66", "mrr=66%", "R@10=1"]))
    with pytest.raises(BelowMinimum, match=r"R@1 is 0\.667, below the 0\.7 that --min"):
        check_minimums(report, parse_minimums(["R@1=70%"]))
    with pytest.raises(BelowMinimum, match="mAP was not measured"):
        check_minimums(report, parse_minimums(["map=0"]))
    assert BelowMinimum.exit_code == 1


@pytest.mark.parametrize("text", ["R@2=0.5", "R@1", "R@1=", "R@1=x", "R@1=45", "R@1=nan", "=1"])
def test_wrong_minimums_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="Received"):
        parse_minimums([text])


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["evaluate", *arguments])


def test_the_command_reports_and_then_fails(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    three(settings)
    monkeypatch.setenv("VIDREC_LIBRARY", str(settings.library))
    monkeypatch.setenv("VIDREC_EMBEDDER_NAME", "words")
    path = captions_file(tmp_path, "red.mp4,red", "blue.mp4,red", "absent.mp4,red")
    done = run("--captions", str(path), "--format", "json", "--min", "R@1=0.4")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert document["fingerprint"] == str(FINGERPRINT)
    assert document["text"]["queries"] == 2
    assert document["text"]["skipped"][0]["file"] == "absent.mp4"
    assert document["text"]["metrics"][0]["value"] == 0.5
    assert document["neighbours"] is None
    assert "left out: line 4, absent.mp4" in done.stderr
    failed = run("--captions", str(path), "--format", "jsonl", "--min", "R@1=0.6")
    assert failed.exit_code == 1
    assert json.loads(failed.stdout.splitlines()[0])["name"] == "R@1"
    error = json.loads(failed.stderr.splitlines()[-1])
    assert error["kind"] == "BelowMinimum" and error["exit_code"] == 1


def test_the_table_shows_both_parts(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    three(settings)
    monkeypatch.setenv("VIDREC_LIBRARY", str(settings.library))
    path = captions_file(
        tmp_path, "red.mp4,red,Plain", "blue.mp4,blue,Plain", header="file,caption,kind"
    )
    done = run("--captions", str(path), "--by", "kind", "-e", "words", "--format", "table")
    assert done.exit_code == 0, done.output
    assert "text → video: 2 captions, 3 videos by clip" in done.stdout
    assert "neighbours by kind: 2 of 2 videos asked with, 1 label" in done.stdout
    rows = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines() if line.strip()}
    assert rows["R@1"] == ["1.000", "1.000–1.000", "0.333"]
    assert rows["median"] == ["rank", "1.0", "1.0–1.0", "2.0"]
    assert rows["mAP"] == ["1.000", "1.000–1.000", "1.000"]


def test_figures_that_tell_nothing_are_said_to(settings: Settings, tmp_path: Path) -> None:
    shared = ["evaluate", "--library", str(settings.library), "-e", "words", "--format", "table"]
    add(settings, "a.mp4", "red", label="A")
    path = captions_file(tmp_path, "a.mp4,red")
    alone = CliRunner().invoke(app, [*shared, "--captions", str(path)]).stderr
    assert "captions tell nothing: any answer would be right, as there is one video" in alone
    add(settings, "b.mp4", "blue", label="A")
    assert "neighbours tell nothing" in CliRunner().invoke(app, shared).stderr
    add(settings, "c.mp4", "cat", label="B")
    add(settings, "d.mp4", "cat", label="B")
    assert "nothing" not in CliRunner().invoke(app, shared).stderr


def test_calibrating_gives_recommend_a_confidence(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDREC_LIBRARY", str(settings.library))
    monkeypatch.setenv("VIDREC_EMBEDDER_NAME", "words")
    for colour in ("red", "green", "blue"):
        for animal in ("cat", "dog"):
            for number in range(2):
                add(settings, f"{colour} {animal} {number}.mp4", f"{colour} {animal}", label=colour)
    index(settings)
    assert ask(settings, ["red"]).results[0].confidence is None
    lines = [
        f"{colour} {animal} {number}.mp4,{colour}"
        for colour in ("red", "green", "blue") for animal in ("cat", "dog") for number in range(2)
    ]  # fmt: skip
    done = run(
        "--captions", str(captions_file(tmp_path, *lines)), "--calibrate", "--format", "table"
    )
    assert done.exit_code == 0, done.output
    rows = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines() if line.strip()}
    assert rows["text"] == ["12", "1.000", "0.000", "1.000"]  # 0.71 with the colour, 0 without
    assert rows["video"] == ["12", "1.000", "0.000", "1.000"]  # 1 with the colour, 0.5 without
    sure = ask(settings, ["red"]).results[0].confidence
    assert sure is not None and sure > 0.8
    unsure = ask(settings, ["red"], where=["label=blue"])
    assert not unsure.confident and "confidence" in unsure.reason and unsure.results


def test_calibrating_needs_enough_to_learn_from(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    three(settings)
    monkeypatch.setenv("VIDREC_LIBRARY", str(settings.library))
    path = captions_file(tmp_path, "red.mp4,red", "blue.mp4,blue")
    done = run("--captions", str(path), "--calibrate", "-e", "words")
    assert done.exit_code == 2 and "needs 8 captions" in done.stderr
    with Library(settings.library) as library:
        assert library.calibration(str(FINGERPRINT), "text") is None


@pytest.mark.parametrize(
    "arguments",
    [["--format", "paths"], ["--scope", "frame"], ["--min", "R@2=1"], ["--captions", "absent.csv"]],
)
def test_wrong_usage_exits_2(arguments: list[str]) -> None:
    done = run(*arguments)
    assert done.exit_code == 2
    assert done.stderr.startswith("error: ") and done.stdout == ""


def test_captions_are_ranked_as_recommend_ranks(settings: Settings, tmp_path: Path) -> None:
    random = np.random.default_rng(5)

    def some_words() -> str:
        return " ".join(random.choice(WORDS[:3], size=random.integers(1, 4)))

    lines = []
    for number in range(20):  # three colours, so that many videos are equally near
        clips = [some_words() for _ in range(random.integers(1, 4))]
        add(settings, f"{number}.mp4", *clips)
        lines.append(f"{number}.mp4,{random.choice(clips)}")
    index(settings)
    places = []
    for line in lines:
        name, _, text = line.partition(",")
        found = ask(settings, [text], k=20).results
        places.append([row.filename for row in found].index(name) + 1)
    assert len(set(places)) > 3
    text_part = evaluate(settings, captions=captions_file(tmp_path, *lines)).text
    assert text_part is not None
    measured = values(text_part.metrics)
    ranks = np.array(places)
    for k in (1, 5, 10):
        assert measured[f"R@{k}"] == pytest.approx(np.mean(ranks <= k))
    assert measured["MRR"] == pytest.approx(np.mean(1 / ranks))
    assert measured["median rank"] == np.median(ranks)


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_captions_may_be_apart_by_commas_semicolons_or_tabs(tmp_path: Path, mark: str) -> None:
    rows = [["caption", "file"], ['"a red card, then; a\tblue one"', "a.mp4"], ["cat", "b.mp4"]]
    (tmp_path / "c.csv").write_text("\n".join(mark.join(row) for row in rows))
    captions = read_captions(tmp_path / "c.csv")
    assert [(c.file, c.text) for c in captions] == [
        ("a.mp4", "a red card, then; a blue one"),
        ("b.mp4", "cat"),
    ]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("file\tcaption\r\na.mp4\tä red; card\r\n", "utf-16"),  # Excel's "Unicode Text"
        ("sep=;\r\nfile;caption\r\na.mp4;ä red, card\r\n", "utf-8-sig"),
        ('\nfile, caption\n\na.mp4, "ä red, card"\n', "utf-8"),
        ("File|Caption|\ra.mp4|ä red, card|\r", "utf-8"),
    ],
)
def test_captions_as_other_programs_save_them(tmp_path: Path, text: str, encoding: str) -> None:
    (tmp_path / "c.csv").write_bytes(text.encode(encoding))
    (row,) = read_captions(tmp_path / "c.csv")
    assert (row.file, row.text.replace(";", ",")) == ("a.mp4", "ä red, card")


def test_a_caption_is_never_cut(tmp_path: Path) -> None:
    path = captions_file(tmp_path, "a.mp4,a red card, then a blue one", "b.mp4,blue,")
    cut, whole = read_captions(path)
    assert cut.text == "" and "3 columns, the header 2" in cut.problem and cut.line == 2
    assert whole.text == "blue"
    path.write_text('file,caption\na.mp4,red\nb.mp4,"He said "hi" loudly"\n')
    with pytest.raises(UsageError, match="line 3"):
        read_captions(path)
