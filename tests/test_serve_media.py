"""Videos over HTTP: in pieces, from where they are, or as what was made of them."""

from __future__ import annotations

import io
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import av
import httpx
import pytest

from tests.serving import films, id_of, serving
from tests.videos import frame_number, picture, write_video
from vidrec.config import Settings
from vidrec.errors import MediaError
from vidrec.media.playback import Playable, make_playable, playable
from vidrec.serve.problems import Problem
from vidrec.serve.workshop import Workshop

__all__ = ["films"]


def opened(data: bytes) -> Any:
    return av.open(io.BytesIO(data))


def made(client: httpx.Client, video_id: str, at: float = 0) -> dict[str, Any]:
    """Wait until a video can be played; return its state."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        state: dict[str, Any] = client.get(f"/media/{video_id}/state", params={"t": at}).json()
        if state["ready"] or state["error"]:
            return state
        assert 0 <= state["progress"] < 1
        time.sleep(0.05)
    raise AssertionError("never ready")


def test_a_file_is_sent_in_pieces(films: Settings) -> None:
    whole = (films.library.parent / "films" / "cat.mp4").read_bytes()
    with serving(films) as client:
        url = f"/media/{id_of(client, 'cat.mp4')}"
        full = client.get(url)
        assert full.content == whole and full.headers["content-type"] == "video/mp4"
        assert (
            full.headers["accept-ranges"] == "bytes" and "private" in full.headers["cache-control"]
        )
        piece = client.get(url, headers={"Range": "bytes=10-19"})
        assert piece.status_code == 206 and piece.content == whole[10:20]
        assert piece.headers["content-range"] == f"bytes 10-19/{len(whole)}"
        assert client.get(url, headers={"Range": "bytes=-5"}).content == whole[-5:]
        beyond = client.get(url, headers={"Range": f"bytes={len(whole)}-"})
        assert beyond.status_code == 416
        tag = {"Range": "bytes=0-4", "If-Range": full.headers["etag"]}
        assert client.get(url, headers=tag).status_code == 206
        old = {"Range": "bytes=0-4", "If-Range": '"another"'}
        assert client.get(url, headers=old).content == whole
        same = client.get(url, headers={"If-None-Match": full.headers["etag"]})
        assert same.status_code == 304 and same.content == b""
        head = client.head(url)
        assert head.content == b"" and head.headers["content-length"] == str(len(whole))


def test_only_videos_of_the_library_are_sent(films: Settings) -> None:
    (films.library.parent / "secret.mp4").write_bytes(b"secret")
    with serving(films) as client:
        cat = id_of(client, "cat.mp4")
        unknown = "ab" * 32
        for path in (f"/media/{unknown}", f"/poster/{unknown}", f"/preview/{unknown}",
                     f"/media/{unknown}/state", f"/api/videos/{unknown}",
                     f"/api/videos/{unknown}/similar"):  # fmt: skip
            assert client.get(path).status_code == 404, path
        for wrong in ("../secret.mp4", "%2e%2e%2fsecret.mp4", cat[:8], "g" * 64, f"{cat}%00",
                      "/etc/passwd", "..%5c..%5csecret.mp4"):  # fmt: skip
            for room in ("media", "poster", "page"):
                assert client.get(f"/{room}/{wrong}").status_code in (404, 422), wrong
        changed = films.library.parent / "films" / "cat.mp4"
        changed.write_bytes(b"something else by now")
        assert client.get(f"/media/{cat}").status_code == 404
        changed.unlink()
        assert client.get(f"/media/{cat}").status_code == 404
        # A page of the list that was shown just now may show the file for two seconds more.
        (row,) = client.get("/api/videos", params={"q": "cat.mp4", "limit": 3}).json()["videos"]
        assert row["media"] is None and row["poster"] is None


def test_what_browsers_do_not_play_is_made_playable(films: Settings) -> None:
    with serving(films) as client:
        wall = id_of(client, "wall.avi")
        first = client.get(f"/media/{wall}")
        assert first.status_code == 202 and first.json()["progress"] < 1
        state = made(client, wall)
        assert state == {
            "ready": True, "progress": 1.0, "kind": "transcode", "start_sec": 0.0, "end_sec": 10.0,
            "error": None,
        }  # fmt: skip
        piece = client.get(f"/media/{wall}", headers={"Range": "bytes=0-99"})
        assert piece.status_code == 206 and piece.headers["content-type"] == "video/mp4"
        with opened(client.get(f"/media/{wall}").content) as film:
            assert film.streams.video[0].codec_context.name == "h264"
            assert film.streams.video[0].codec_context.pix_fmt == "yuv420p"
            assert len(list(film.decode(video=0))) == 24


def test_posters_and_previews(films: Settings) -> None:
    with serving(films) as client:
        for name in ("cat.mp4", "wall.avi"):
            video = id_of(client, name)
            for at in (0, 1, 500):
                poster = client.get(f"/poster/{video}", params={"t": at})
                assert poster.headers["content-type"] == "image/jpeg"
                with opened(poster.content) as image:
                    assert image.streams.video[0].width <= 480
                preview = client.get(f"/preview/{video}", params={"t": at})
                assert preview.headers["content-type"] == "video/mp4"
                with opened(preview.content) as film:
                    assert not film.streams.audio and film.duration <= 3_200_000
                    assert film.streams.video[0].width <= 320


def test_a_damaged_video_is_an_answer(films: Settings) -> None:
    path = films.library.parent / "films" / "wall.avi"
    path.write_bytes(b"RIFF" + bytes(path.stat().st_size - 4))
    with serving(films) as client:
        wall = id_of(client, "wall.avi")
        for url in (f"/media/{wall}", f"/poster/{wall}", f"/preview/{wall}"):
            answer = client.get(url)
            assert answer.status_code == 422 and str(path.parent) not in answer.text


def kinds(tmp_path: Path) -> dict[str, Path]:
    return {
        "direct": write_video(tmp_path / "a.mp4", 10, audio_sec=0.4),
        "remux": write_video(tmp_path / "b.mkv", 10, audio_sec=0.4),
        "transcode": write_video(tmp_path / "c.mp4", 10, pix_fmt="yuv444p"),
    }


def test_what_browsers_play_is_told_by_codec_and_container(tmp_path: Path) -> None:
    for kind, path in kinds(tmp_path).items():
        assert playable(path).kind == kind
    webm = write_video(tmp_path / "d.webm", 10, codec="libvpx-vp9")
    assert (playable(webm).kind, playable(webm).media_type) == ("direct", "video/webm")
    hevc = write_video(
        tmp_path / "e.mp4", 10, codec="libx265", options={"x265-params": "log-level=0"}
    )
    assert playable(hevc).kind == "transcode"
    deep = write_video(tmp_path / "f.mp4", 10, pix_fmt="yuv420p10le")
    assert playable(deep).kind == "transcode"


@pytest.mark.parametrize("kind", ["remux", "transcode"])
def test_a_stretch_begins_where_it_says(kind: str, tmp_path: Path) -> None:
    ending = "mkv" if kind == "remux" else "avi"
    codec = "libx264" if kind == "remux" else "mpeg4"
    path = write_video(
        tmp_path / f"film.{ending}", [picture(i % 64) for i in range(200)], fps=10, codec=codec,
        keyframe_every=10,
    )  # fmt: skip
    how = Playable(kind, "video/mp4", 20.0, step_sec=5.0)  # type: ignore[arg-type]
    assert how.stretch(7.3) == (5.0, 10.0) and how.stretch(99) == (15.0, 20.0)
    said: list[float] = []
    make_playable(path, how, 7.3, tmp_path / "out", said.append)
    assert said and all(0 <= share <= 1 for share in said) and said[-1] > 0.8
    with av.open(str(tmp_path / "out")) as film:
        frames = [(float(f.pts * f.time_base), f.to_ndarray(format="rgb24"))
                  for f in film.decode(video=0)]  # fmt: skip
    assert [frame_number(pixels) for _, pixels in frames[:3]] == [50, 51, 52]
    assert frames[0][0] == 0 and 48 <= len(frames) <= 60


def test_sound_stays_with_the_picture(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", 50, codec="mpeg4", audio_sec=2)
    how = playable(path)
    assert how.kind == "transcode"
    make_playable(path, how, 0, tmp_path / "out", lambda share: None)
    with av.open(str(tmp_path / "out")) as film:
        assert film.streams.audio[0].codec_context.name == "aac"
        sound = film.streams.audio[0]
        assert abs(float(sound.duration * sound.time_base) - 2) < 0.1
        assert film.streams.video[0].frames == 50


def test_the_workshop_makes_each_thing_once_and_keeps_only_so_much(tmp_path: Path) -> None:
    shop = Workshop(tmp_path / "made", tmp_path / "drafts", 250)
    calls: list[str] = []
    together = threading.Semaphore(1)

    def make(draft: Path, report: Any) -> None:
        assert together.acquire(blocking=False), "two things of one video at once"
        calls.append(draft.name)
        report(0.5)
        time.sleep(0.05)
        draft.write_bytes(bytes(100))
        together.release()

    with ThreadPoolExecutor(8) as pool:
        jobs = list(pool.map(lambda n: shop.ask(f"{n % 3}.mp4", "video", make), range(30)))
        for job in jobs:
            assert job.done.result(10).suffix == ".mp4"
    kept = sorted(path.name for path in (tmp_path / "made").iterdir())
    assert len(kept) == 2 and shop.finished(kept[0])
    assert not list((tmp_path / "drafts").iterdir())
    shop.close()


def test_pictures_do_not_wait_for_films(tmp_path: Path) -> None:
    shop = Workshop(tmp_path / "made", tmp_path / "drafts", 1000, workers=2)
    end = threading.Event()

    def film(draft: Path, report: Any) -> None:
        end.wait(20)
        draft.write_bytes(b"film")

    films = [shop.ask(f"{n}.mp4", f"video {n}", film, long=True) for n in range(4)]
    picture = shop.ask("x.jpg", "video x", lambda draft, report: draft.write_bytes(b"x"))
    assert picture.done.result(10).name == "x.jpg"
    assert sum(job.running for job in films) == 1
    end.set()
    for job in films:
        assert job.done.result(10)
    shop.close()


def test_what_failed_is_not_tried_at_once_again(tmp_path: Path) -> None:
    shop = Workshop(tmp_path / "made", tmp_path / "drafts", 1000)

    def fail(draft: Path, report: Any) -> None:
        draft.write_bytes(b"half")
        raise MediaError(f"{draft}: torn")

    with pytest.raises(MediaError):
        shop.ask("x.mp4", "x", fail).done.result(10)
    assert not list((tmp_path / "drafts").iterdir())
    with pytest.raises(Problem, match="cannot be shown"):
        shop.ask("x.mp4", "x", fail)
    shop.close()


def test_servers_share_a_cache_and_sweep_what_was_killed(films: Settings) -> None:
    folder = films.cache / "serve"
    left = folder / "run-killed"
    (left / "drafts").mkdir(parents=True)
    (left / "drafts" / "x.mp4").write_bytes(b"x")
    left.with_name("run-killed.lock").touch()
    with serving(films) as one:
        assert not left.exists()
        (own,) = [path for path in folder.glob("run-*") if path.is_dir()]
        with serving(films) as two:
            assert own.is_dir()
            wall = id_of(two, "wall.avi")
            assert made(two, wall)["ready"] and made(one, wall)["ready"]
        assert own.is_dir() and len(list((folder / "made").glob("*film.mp4"))) == 1
    assert not list(folder.glob("run-*"))
