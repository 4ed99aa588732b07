"""The main job from files to recommendations, through the command line."""

import json
import os
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.clips import photograph, write_clip, write_clips
from vidrec.cli import app
from vidrec.config import load_settings
from vidrec.library import Library

runner = CliRunner()


def vidrec(*arguments: object, code: int = 0, input: str | None = None) -> Result:
    result = runner.invoke(app, [str(a) for a in arguments], input=input)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


def results(*arguments: object, code: int = 0) -> list[dict[str, object]]:
    out = vidrec("recommend", *arguments, "--format", "json", code=code).stdout
    rows: list[dict[str, object]] = json.loads(out)["results"]
    return rows


def nearest(*arguments: object) -> list[dict[str, object]]:
    """Results, however far they are from what was asked."""
    return results(*arguments, "--min-confidence", 0)


@pytest.fixture
def clips(tmp_path: Path) -> dict[str, Path]:
    return write_clips(tmp_path / "clips")


@pytest.fixture
def indexed(clips: dict[str, Path]) -> dict[str, Path]:
    vidrec("embed", clips["coffee"].parent)
    vidrec("index")
    return clips


@pytest.mark.parametrize(
    ("query", "best"),
    [
        ("a cat", "chelsea"),
        ("a cup of coffee", "coffee"),
        ("a rocket launch", "rocket"),
    ],
)
def test_a_text_finds_the_right_video(indexed: dict[str, Path], query: str, best: str) -> None:
    rows = results(query)
    assert rows[0]["filename"] == f"{best}.mp4"
    assert [row["rank"] for row in rows] == [1, 2, 3, 4]
    assert rows[0]["path"] == str(indexed[best])
    assert rows[0]["duration_sec"] == pytest.approx(1)
    assert set(rows[0]) == {
        "rank", "score", "video_id", "path", "url", "filename", "label", "start_sec", "end_sec",
        "duration_sec", "confidence", "gone",
    }  # fmt: skip


def test_the_same_text_twice_and_words_without_quotes(indexed: dict[str, Path]) -> None:
    assert results("a cup of coffee") == results("a", "cup", "of", "coffee")


def test_a_clip_finds_others_but_never_itself(indexed: dict[str, Path], tmp_path: Path) -> None:
    renamed = tmp_path / "another name.mp4"
    shutil.copy(indexed["chelsea"], renamed)
    for query in (indexed["chelsea"], renamed):
        assert "chelsea.mp4" not in [row["filename"] for row in nearest(query)]
    video_id = str(results("a cat")[0]["video_id"])
    assert nearest(f"id:{video_id[:10]}") == nearest(indexed["chelsea"])


def test_a_clip_that_is_not_in_the_library(indexed: dict[str, Path], tmp_path: Path) -> None:
    other = write_clip(tmp_path / "other.mp4", photograph("chelsea")[::-1, ::-1], seconds=2)
    assert results(other)[0]["filename"] == "chelsea.mp4"
    with Library(load_settings().library) as library:
        assert len(list(library.videos())) == 4


def test_an_image_query(indexed: dict[str, Path], tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(photograph("coffee")).save(tmp_path / "cup.png")
    assert results(tmp_path / "cup.png")[0]["filename"] == "coffee.mp4"


@pytest.mark.parametrize("query", ["absent.mp4", "no/such/thing", "PICTURE.JPG"])
def test_what_looks_like_a_path_is_never_a_text(indexed: dict[str, Path], query: str) -> None:
    assert "does not exist" in vidrec("recommend", query, code=2).output


def test_conditions_and_scores(indexed: dict[str, Path]) -> None:
    rows = nearest("a cat", "--where", "filename=coffee.mp4")
    assert [row["filename"] for row in rows] == ["coffee.mp4"]
    assert "colour" in vidrec("recommend", "a cat", "--where", "colour=red", code=2).output
    vidrec("recommend", "a cat", "--where", "novalue", code=2)
    best = float(str(results("a cat")[0]["score"]))
    assert len(results("a cat", "--min-score", best - 1e-4)) == 1
    assert "no confident match" in vidrec("recommend", "a cat", "--min-score", 2, code=3).output
    assert "k=0" in vidrec("recommend", "a cat", "-k", 0, code=2).output


def test_what_nothing_fits_is_refused_and_can_be_seen(indexed: dict[str, Path]) -> None:
    refused = vidrec("recommend", "a tax return form", "-f", "json", code=3)
    problem = json.loads(refused.stderr)
    assert refused.stdout == "" and problem["kind"] == "NoConfidentMatch"
    (row, *_) = nearest("a tax return form")
    sure = float(str(row["confidence"]))
    assert 0 < sure < 0.25 and f"{row['filename']}, has a confidence of {sure:.2f}" in str(problem)
    assert results("a tax return form", "--min-confidence", sure)[0] == row
    assert vidrec("recommend", "a cup of coffee", "--min-confidence", 1, code=3).stdout == ""
    assert "conf." in vidrec("recommend", "a cat", "-f", "table").stdout
    vidrec("recommend", "a cat", "--min-confidence", 1.5, code=2)


def test_only_what_was_calibrated_has_a_confidence(indexed: dict[str, Path]) -> None:
    sure = [float(str(row["confidence"])) for row in nearest("a cat")]
    assert sure == sorted(sure, reverse=True) and sure[0] > 0.5 > sure[-1]
    assert results("a cat", "--scope", "video")[0]["confidence"] is None
    table = vidrec("recommend", "a cat", "--scope", "video", "-f", "table").stdout
    assert "conf." not in table
    mixed = vidrec("recommend", "a cat", indexed["coffee"], "-f", "table")
    assert "conf." in mixed.stdout and "mean of its liked parts' own" in mixed.stderr


def test_formats(indexed: dict[str, Path]) -> None:
    lines = vidrec("recommend", "a cat", "-k", 2).stdout.splitlines()
    assert [json.loads(line)["rank"] for line in lines] == [1, 2]
    paths = vidrec("recommend", "a cat", "-f", "paths").stdout.splitlines()
    assert paths[0] == str(indexed["chelsea"])
    table = vidrec("recommend", "a cat", "-f", "table").stdout
    assert "chelsea.mp4" in table
    assert "0:00–0:01" in table


def test_errors_are_json_under_a_json_format() -> None:
    result = vidrec("recommend", "a cat", "--format", "json", code=1)
    assert result.stdout == ""
    problem = json.loads(result.stderr)
    assert problem["exit_code"] == 1
    assert "vidrec embed" in problem["error"]


def test_recommend_before_index_names_the_command(clips: dict[str, Path]) -> None:
    vidrec("embed", clips["coffee"].parent, "--no-index")
    assert "vidrec index" in vidrec("recommend", "a cat", code=1).output


def test_what_is_done_is_skipped(clips: dict[str, Path], tmp_path: Path) -> None:
    folder = clips["coffee"].parent
    assert "embedded 4 videos" in vidrec("embed", folder).stderr
    assert "4 skipped" in vidrec("embed", folder).stderr
    shutil.copy(clips["coffee"], folder / "copy of coffee.mp4")
    assert "5 skipped" in vidrec("embed", folder).stderr
    assert "embedded 4 videos" in vidrec("embed", folder, "--force").stderr
    assert "embedded 4 videos" in vidrec("embed", folder, "--clip-seconds", "2").stderr


def test_a_renamed_file_is_the_same_video(indexed: dict[str, Path]) -> None:
    moved = indexed["coffee"].with_name("espresso.mp4")
    indexed["coffee"].rename(moved)
    assert "embedded 0 videos" in vidrec("embed", moved.parent, "--no-index").stderr
    assert "run `vidrec index`" in vidrec("recommend", "a cup of coffee").stderr
    vidrec("index")
    assert results("a cup of coffee")[0]["path"] == str(moved)


def test_a_file_with_new_content_is_another_video(indexed: dict[str, Path]) -> None:
    path = indexed["coffee"]
    shutil.copy(indexed["rocket"], path)
    indexed["rocket"].unlink()
    vidrec("embed", path.parent)
    vidrec("index")
    rows = results("a cup of coffee")
    assert [row["path"] for row in rows].count(str(path)) == 1
    assert rows[0]["path"] is None  # the coffee is remembered, but it is nowhere
    status = json.loads(vidrec("status", "--format", "json").stdout)
    assert (status["videos"], status["missing"]) == (4, 1)
    assert "removed 1 video and" in vidrec("remove", path).stderr
    assert results("a cup of coffee")[0]["path"] is None


def test_a_file_that_grows_meanwhile_is_not_kept(
    clips: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from vidrec.embedders.conse import ConseEmbedder

    encode = ConseEmbedder._vector

    def while_it_is_copied(self: ConseEmbedder, *frames: object) -> object:
        with clips["coffee"].open("ab") as file:
            file.write(b"more")
        return encode(self, *frames)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(ConseEmbedder, "_vector", while_it_is_copied)
        result = vidrec("embed", clips["coffee"], code=4)
    assert "coffee.mp4: it changed while it was embedded: run again" in result.stderr
    vidrec("embed", clips["coffee"])  # not skipped as one that failed before
    listed = vidrec("list", "--format", "paths").stdout.splitlines()
    assert listed == [str(clips["coffee"])]
    assert json.loads(vidrec("status", "--format", "json").stdout)["failures"] == []


def test_bad_files_do_not_stop_a_run(clips: dict[str, Path]) -> None:
    folder = clips["coffee"].parent
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("this is no video")
    result = vidrec("embed", folder, folder / "absent.mp4", code=4)
    for name in ("empty.mp4", "text.mp4", "absent.mp4"):
        assert f"{name}: " in result.stderr
    assert "embedded 4 videos" in result.stderr
    assert "3 failed" in result.stderr
    again = vidrec("embed", folder)
    assert "2 skipped (failed before" in again.stderr
    status = json.loads(vidrec("status", "--format", "json").stdout)
    assert len(status["failures"]) == 2  # what is not there need not be tried again
    shutil.copy(clips["coffee"], folder / "text.mp4")
    (folder / "empty.mp4").unlink()
    vidrec("embed", folder)
    vidrec("embed", "--retry-failed")  # empty.mp4 is gone, and its failure with it
    assert json.loads(vidrec("status", "--format", "json").stdout)["failures"] == []


def test_a_folder_that_opens_again_has_not_failed(clips: dict[str, Path]) -> None:
    folder = clips["coffee"].parent
    with Library(load_settings().library) as library:
        for source in (str(folder), "https://127.0.0.1:9/shows/"):
            library.record_failure("conse", source, "Permission denied", permanent=False)
    vidrec("embed", folder)
    failures = json.loads(vidrec("status", "--format", "json").stdout)["failures"]
    assert [failure["source"] for failure in failures] == ["https://127.0.0.1:9/shows/"]


def test_a_dry_run_counts_what_failed_before(clips: dict[str, Path]) -> None:
    clips["coffee"].write_text("this is no video")
    vidrec("embed", clips["coffee"].parent, code=4)
    planned = vidrec("embed", clips["coffee"].parent, "--dry-run").stderr
    assert "would embed 0 videos" in planned
    assert "3 done before, 1 failed before, 0 that would fail" in planned


def test_a_folder_without_videos_is_said_to_have_none(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for command in (["embed"], ["upload", "--bucket", "b"]):
        said = vidrec(*command, tmp_path / "empty").stderr
        assert said.startswith("no video was found") and said.count("\n") == 1
        said = vidrec(*command, "-").stderr  # the tests' stdin is empty
        assert said == "the list on stdin is empty: there is nothing to do\n"


@pytest.mark.parametrize("command", ["status", "usage", "doctor", "evaluate"])
def test_a_command_without_paths_says_so(command: str) -> None:
    assert "'paths' is not one of" in vidrec(command, "--format", "paths", code=2).stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_without_permission(clips: dict[str, Path]) -> None:
    locked = clips["coffee"].parent / "locked"
    locked.mkdir(mode=0)
    try:
        assert "locked: Permission denied" in vidrec("embed", locked.parent, code=4).stderr
    finally:
        locked.chmod(0o700)


def test_a_list_on_stdin_and_a_limit(clips: dict[str, Path]) -> None:
    listed = "\n".join(str(path) for path in clips.values())
    result = vidrec("embed", "-", "--limit", 3, input=listed)
    assert "embedded 3 videos" in result.stderr
    assert "1 left by --limit" in result.stderr
    assert "nothing to embed" in vidrec("embed", code=2).stderr


def test_what_is_tried_again_keeps_its_label(clips: dict[str, Path], tmp_path: Path) -> None:
    inside = tmp_path / "films" / "Rockets" / "a.mp4"
    inside.parent.mkdir(parents=True)
    inside.write_text("still being copied")
    vidrec("embed", tmp_path / "films", code=4)
    shutil.copy(clips["rocket"], inside)
    vidrec("embed", "--retry-failed")
    (video,) = json.loads(vidrec("list", "--format", "json").stdout)["videos"]
    assert video["label"] == "Rockets"


def test_labels_come_from_folders(tmp_path: Path) -> None:
    write_clips(tmp_path / "films" / "Animals", ["chelsea"])
    write_clips(tmp_path / "films", ["coffee"])
    vidrec("embed", tmp_path / "films")
    vidrec("index")
    labels = {row["filename"]: row["label"] for row in results("a cat")}
    assert labels == {"chelsea.mp4": "Animals", "coffee.mp4": None}
    assert [r["filename"] for r in nearest("coffee", "--where", "label=Animals")] == ["chelsea.mp4"]
    vidrec("embed", tmp_path / "films", "--label-from", "folder")
    vidrec("index")
    assert {row["label"] for row in results("a cat")} == {"Animals", "films"}


def test_dry_run_changes_nothing(clips: dict[str, Path], tmp_path: Path) -> None:
    result = vidrec("embed", clips["coffee"].parent, "--dry-run")
    assert "would embed 4 videos" in result.stderr
    assert not load_settings().library.exists()
    assert all(str(path) in result.stdout for path in clips.values())


def test_remove_and_prune(indexed: dict[str, Path]) -> None:
    vidrec("remove", indexed["coffee"])
    assert "coffee.mp4" not in [row["filename"] for row in nearest("coffee")]
    assert "removed 1 video and" in vidrec("remove", "chelsea.mp4").stderr
    assert "absent.mp4 is not in the library" in vidrec("remove", "absent.mp4").stderr
    listed = vidrec("list", "--format", "paths").stdout.splitlines()
    assert listed == [str(indexed["astronaut"]), str(indexed["rocket"])]
    with Library(load_settings().library) as library:
        library.remove_video(library.find_video(str(results("rocket")[0]["video_id"])).id)
    assert [row["filename"] for row in nearest("rocket")] == ["astronaut.mp4"]
    assert "deleted 2" in vidrec("index").stderr
    assert [row["filename"] for row in nearest("rocket")] == ["astronaut.mp4"]
    assert "indexed 0 points" in vidrec("index", "--prune").stderr


def test_embedding_with_other_clips_replaces_the_old_points(tmp_path: Path) -> None:
    write_clip(tmp_path / "long.mp4", photograph("rocket"), seconds=8)
    vidrec("embed", tmp_path / "long.mp4", "--clip-seconds", "2")
    vidrec("index")
    rows = results("a rocket", "--clips")
    assert sum(row["end_sec"] - row["start_sec"] for row in rows) == 8
    vidrec("embed", tmp_path / "long.mp4", "--clip-seconds", "4")
    vidrec("index")
    rows = results("a rocket", "--clips")
    assert [(row["start_sec"], row["end_sec"]) for row in rows] == [(0, 8)]  # neighbours


def test_status_and_list_read_well(indexed: dict[str, Path]) -> None:
    status = vidrec("status", "--format", "table").stdout
    assert "videos   4" in status
    assert "8 points" in status
    rows = [json.loads(line) for line in vidrec("list").stdout.splitlines()]
    assert [row["filename"] for row in rows] == [
        "astronaut.mp4", "chelsea.mp4", "coffee.mp4", "rocket.mp4",
    ]  # fmt: skip
    assert rows[0]["embedders"] == ["conse"]


def test_a_condition_is_text_or_what_it_reads_as() -> None:
    from vidrec.search.conditions import meanings

    assert meanings("2007") == ["2007", 2007] and meanings("true") == ["true", True]
    assert meanings("Cats") == ["Cats"] and meanings("1e3x") == ["1e3x"]


def test_index_writes_only_what_came_since(indexed: dict[str, Path]) -> None:
    folder = indexed["coffee"].parent
    assert "indexed 0 points" in vidrec("index").stderr
    write_clip(folder / "cup.mp4", photograph("coffee")[::-1])
    vidrec("embed", folder, "--no-index")
    assert "indexed 2 points" in vidrec("index").stderr
    indexed["rocket"].rename(folder / "saturn.mp4")
    vidrec("embed", folder, "--no-index")
    assert "indexed 2 points" in vidrec("index").stderr
    assert "saturn.mp4" in [row["filename"] for row in results("a rocket")]
    shutil.rmtree(load_settings().library / "knn")
    assert "indexed 10 points" in vidrec("index").stderr


def test_conditions_that_a_stale_index_cannot_meet_say_what_mends_it(
    indexed: dict[str, Path],
) -> None:
    said = vidrec("label", "coffee.mp4", "--label", "Drinks").stderr
    assert "run `vidrec index`" in said
    missed = vidrec("recommend", "a cup", "--where", "label=Drinks", code=3).stderr
    assert "has changed since it was indexed: run `vidrec index`" in missed
    vidrec("index")
    assert results("a cup of coffee", "--where", "label=Drinks")[0]["filename"] == "coffee.mp4"
    typo = vidrec("recommend", "a cup", "--where", "lable=Drinks", code=2).stderr
    assert typo.count("choose one of") == 1 and "did you mean label?" in typo
    assert vidrec("list", "--where", "label=Films", "-f", "table").stderr == "no videos\n"
