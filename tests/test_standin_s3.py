"""The S3 stand-in itself, seen through boto3: what S3 refuses, it refuses."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.standin_s3 import S3StandIn

NAME = "vid rec/ünï & #1's 🎬.mp4"


@pytest.fixture(scope="module")
def server() -> Iterator[S3StandIn]:
    with S3StandIn() as standin:
        client_of(standin).create_bucket(
            Bucket="clips", CreateBucketConfiguration={"LocationConstraint": standin.region}
        )
        yield standin


def client_of(server: S3StandIn, **changes: str) -> Any:
    values = {
        "region_name": server.region,
        "aws_access_key_id": server.access_key,
        "aws_secret_access_key": server.secret_key,
        **changes,
    }
    config = Config(signature_version="s3v4", retries={"max_attempts": 1})
    return boto3.client("s3", endpoint_url=server.url, config=config, **values)


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as response:
        content: bytes = response.read()
        return content


def test_signed_requests_and_presigned_urls_pass(server: S3StandIn) -> None:
    client = client_of(server)
    client.put_object(Bucket="clips", Key=NAME, Body=b"content", Metadata={"n": "1"})
    url = client.generate_presigned_url(
        "get_object", Params={"Bucket": "clips", "Key": NAME}, ExpiresIn=60
    )
    assert get(url) == b"content"
    for bad in (url[:-4] + "0000", url.replace("Expires=60", "Expires=6000"), url.split("?")[0]):
        with pytest.raises(urllib.error.HTTPError, match="403"):
            get(bad)
    server.clock_offset = 61
    with pytest.raises(urllib.error.HTTPError, match="403"):
        get(url)
    server.clock_offset = 0


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"aws_secret_access_key": "wrong"}, "SignatureDoesNotMatch"),
        ({"aws_access_key_id": "AKIDUNKNOWN"}, "InvalidAccessKeyId"),
    ],
)
def test_wrong_credentials_are_refused(
    server: S3StandIn, changes: dict[str, str], code: str
) -> None:
    with pytest.raises(ClientError) as caught:
        client_of(server, **changes).list_objects_v2(Bucket="clips")
    assert caught.value.response["Error"]["Code"] == code


def test_a_wrong_clock_is_refused(server: S3StandIn) -> None:
    server.clock_offset = 3600
    with pytest.raises(ClientError, match="RequestTimeTooSkewed"):
        client_of(server).list_objects_v2(Bucket="clips")
    server.clock_offset = 0


def test_anyone_reads_what_is_public_only(server: S3StandIn) -> None:
    client = client_of(server)
    client.put_object(Bucket="clips", Key="open", Body=b"open", ACL="public-read")
    client.put_object(Bucket="clips", Key="shut", Body=b"shut")
    assert get(f"{server.url}/clips/open") == b"open"
    with pytest.raises(urllib.error.HTTPError, match="403"):
        get(f"{server.url}/clips/shut")
