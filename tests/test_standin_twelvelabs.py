"""The Twelve Labs stand-in itself, seen through the real SDK: what it must refuse and return."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import httpx
import numpy as np
import pytest
from twelvelabs import TwelveLabs
from twelvelabs.core.api_error import ApiError

from tests.standin_twelvelabs import TwelveLabsStandIn
from tests.tiny_video import write_video


@pytest.fixture
def service() -> Iterator[TwelveLabsStandIn]:
    with TwelveLabsStandIn() as standin:
        yield standin


def client_of(service: TwelveLabsStandIn, key: str | None = None) -> TwelveLabs:
    client = httpx.Client(trust_env=False, timeout=10)
    return TwelveLabs(api_key=key or service.key, base_url=service.url, httpx_client=client)


def ask(client: TwelveLabs, text: str, dim: int = 512) -> np.ndarray:
    answer = client.embed.v_2.create(
        input_type="multi_input",
        model_name="marengo3.5",
        embedding_dimension=dim,
        multi_input={"input_text": text},  # type: ignore[arg-type]
    )
    return np.array(answer.data[0].embedding)


def test_texts_are_near_their_like_and_prefixes_agree(service: TwelveLabsStandIn) -> None:
    client = client_of(service)
    whole = ask(client, "dark forest")
    assert whole.shape == (512,)
    assert np.allclose(ask(client, "dark forest", 128), whole[:128])
    near, far = ask(client, "forest dark night"), ask(client, "kitchen")
    assert whole @ near > whole @ far


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"model_name": "Marengo-retrieval-2.7"}, "parameter_invalid"),
        ({"input_type": "text", "multi_input": ..., "text": {"input_text": "a"}}, "parameter"),
        ({"embedding_dimension": 1024}, "parameter_invalid"),
        ({"embedding_dimension": None}, "parameter_invalid"),
        ({"model_name": "marengo3.0"}, "parameter_unknown"),
    ],
)
def test_it_refuses_what_the_service_refuses(
    service: TwelveLabsStandIn, changes: dict[str, object], code: str
) -> None:
    request: dict[str, object] = {
        "input_type": "multi_input",
        "model_name": "marengo3.5",
        "embedding_dimension": 512,
        "multi_input": {"input_text": "a"},
        **changes,
    }
    with pytest.raises(ApiError) as caught:
        client_of(service).embed.v_2.create(**request)  # type: ignore[arg-type]
    assert caught.value.status_code == 400
    assert code in str(caught.value.body)


def test_a_wrong_key_is_refused(service: TwelveLabsStandIn) -> None:
    with pytest.raises(ApiError) as caught:
        ask(client_of(service, "tlk_WRONG"), "a")
    assert caught.value.status_code == 401


def test_a_task_runs_from_asset_to_shuffled_rows(
    service: TwelveLabsStandIn, tmp_path_factory: pytest.TempPathFactory
) -> None:
    client = client_of(service)
    path = write_video(tmp_path_factory.mktemp("v") / "forest.mp4", seconds=14)
    with path.open("rb") as file:
        asset = client.assets.create(method="direct", file=(path.name, file, "video/mp4"))
    assert asset.id is not None
    assert client.assets.retrieve(asset.id).status == "ready"
    task = client.embed.v_2.tasks.create(
        input_type="video",
        model_name="marengo3.5",
        video={  # type: ignore[arg-type]
            "media_source": {"asset_id": asset.id},
            "embedding_option": ["visual", "audio"],
            "embedding_scope": ["clip", "asset"],
        },
    )
    assert task.id is not None
    assert client.embed.v_2.tasks.retrieve(task.id).status == "processing"
    ready = client.embed.v_2.tasks.retrieve(task.id)
    assert ready.status == "ready" and ready.data is not None
    assert sorted((row.embedding_option, row.embedding_scope) for row in ready.data) == [
        *[("audio", "asset")], *[("audio", "clip")] * 3,
        *[("visual", "asset")], *[("visual", "clip")] * 3,
    ]  # fmt: skip
    listed = [row.id for row in client.embed.v_2.tasks.list()]
    assert listed == [task.id]
    service.advance(8 * 24 * 3600)
    with pytest.raises(ApiError) as caught:
        client.embed.v_2.tasks.retrieve(task.id)
    assert caught.value.status_code == 404


def test_images_come_as_base64(service: TwelveLabsStandIn) -> None:
    answer = client_of(service).embed.v_2.create(
        input_type="image",
        model_name="marengo3.0",
        image={"media_source": {"base64_string": base64.b64encode(b"png").decode()}},  # type: ignore[arg-type]
    )
    assert len(answer.data[0].embedding) == 512
