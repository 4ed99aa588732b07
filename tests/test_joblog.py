"""Paid work on record: jobs, their cost, uploads."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from vidrec.library import Library
from vidrec.library.jobs import CatalogJobs, Job, Upload, add_upload, spendings, upload_of
from vidrec.types import Video

REQUEST = "marengo:marengo3.5:512:abc"
JOB = Job("a" * 64, REQUEST, "creating", created_at=100.0, minutes=0.5)


def test_a_job_survives_the_process(tmp_path: Path) -> None:
    with Library(tmp_path) as library:
        CatalogJobs(library).put(JOB)
    done = replace(JOB, state="done", job_id="j1", result=b"answer" * 100, detail="visual")
    with Library(tmp_path) as library:
        jobs = CatalogJobs(library)
        assert jobs.get(JOB.video_id, REQUEST) == JOB
        assert jobs.get(JOB.video_id, "marengo:marengo3.0:512:abc") is None
        assert not jobs.knows("j1")
        jobs.put(done)
    with Library(tmp_path) as library:
        jobs = CatalogJobs(library)
        assert jobs.get(JOB.video_id, REQUEST) == done
        assert jobs.knows("j1")
        jobs.close(JOB.video_id, REQUEST)
        assert jobs.get(JOB.video_id, REQUEST) == replace(done, state="closed", result=None)


def test_only_a_done_job_is_closed(tmp_path: Path) -> None:
    with Library(tmp_path) as library:
        jobs = CatalogJobs(library)
        jobs.put(JOB)
        jobs.close(JOB.video_id, REQUEST)
        assert jobs.get(JOB.video_id, REQUEST) == JOB


def test_spending_counts_every_job_once_and_each_text_asked(tmp_path: Path) -> None:
    with Library(tmp_path) as library:
        jobs = CatalogJobs(library)
        for state in ("running", "done"):
            jobs.put(replace(JOB, state=state, job_id="j1"))
        jobs.put(replace(JOB, state="running", job_id="j2", minutes=1.5, created_at=200.0))
        for fingerprint in (REQUEST, "conse:x:3:abc"):
            library.cache_queries([("dark", np.ones(3, np.float32), 1.0)], fingerprint)
        library.remove_video(JOB.video_id)
        (spent,) = spendings(library, ["marengo"])
        assert (spent.embedder, spent.model) == ("marengo", "marengo3.5")
        assert (spent.jobs, spent.minutes, spent.texts) == (2, 2.0, 1)
        assert (spent.first, spent.last) == (100.0, 200.0)


def test_an_upload_is_remembered_until_the_video_goes(tmp_path: Path) -> None:
    with Library(tmp_path) as library:
        video = Video("b" * 64, "b.mp4", size=3)
        library.add_video(video)
        upload = Upload(video.id, "s3://clips/b.mp4", 3, video.id, 5.0)
        add_upload(library, upload)
        assert upload_of(library, video.id) == upload
        library.remove_video(video.id)
        assert upload_of(library, video.id) is None
