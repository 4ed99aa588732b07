"""What went wrong with object storage, in one line: what, which, and what to do."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vidrec.errors import StorageError
from vidrec.urls import shown_url, without_secrets

if TYPE_CHECKING:
    from vidrec.sections import S3Settings

BAD_CREDENTIALS = ("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken",
                   "TokenRefreshRequired", "AuthFailure", "InvalidSecurity")  # fmt: skip
WRONG_REGION = ("PermanentRedirect", "AuthorizationHeaderMalformed", "TemporaryRedirect",
                "IllegalLocationConstraintException")  # fmt: skip
# What names the address of a server, in the words of each place where it may be named.
ENDPOINT = "[s3] endpoint_url (upload --endpoint-url, AWS_ENDPOINT_URL_S3)"
BUSY = ("SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "503", "500")


def wrong_region(bucket: str | None, region: str | None) -> StorageError:
    """The error for a bucket that lies elsewhere; ``region`` where it lies, if known."""
    return StorageError(
        f"bucket {bucket} is not in this region: set [s3] region (VIDREC_S3_REGION, upload "
        f"--region) to {region or 'the one it is in'}",
        code="WrongRegion",
    )


def no_storage(where: str) -> StorageError:
    """The error for an address where something else answers."""
    return StorageError(
        f"what answers at {where} is no object storage: check {ENDPOINT}", code="NoStorage"
    )


@dataclass(frozen=True, slots=True)
class Doing:
    """What was being done when an error of botocore's came."""

    action: str
    bucket: str | None
    settings: S3Settings
    where: str
    profile: str | None

    def told(self, error: Exception) -> StorageError | None:
        """Return the error as a ``StorageError`` with its ``code``; None if it is no such one."""
        from botocore.exceptions import BotoCoreError, ClientError

        if isinstance(error, ClientError):
            code, problem = self._answered(error)
        elif isinstance(error, (BotoCoreError, ValueError)):
            code, problem = type(error).__name__, self._unanswered(error)
        elif isinstance(error, OSError):
            code, problem = "OSError", f"cannot {self.action} {self.target}: {error}"
        elif isinstance(error, RecursionError):  # botocore follows a redirect to itself
            return no_storage(self.where)
        elif isinstance(error, RuntimeError) and "expired" in str(error):  # botocore's own words
            code, problem = "ExpiredToken", self._ended
        elif self.action == "open":  # botocore believes what its files hold
            code = type(error).__name__
            problem = f"AWS's own settings{self.who} cannot be read ({error}): check ~/.aws/config"
        else:
            return None
        return StorageError(without_secrets(" ".join(problem.split())), code=code)

    @property
    def target(self) -> str:
        return f"bucket {self.bucket}" if self.bucket else "S3"

    @property
    def who(self) -> str:
        return f" of profile {self.profile}" if self.profile else ""

    @property
    def _ended(self) -> str:
        return (
            f"the AWS credentials{self.who} have ended: sign in again (`aws sso login`), or renew "
            "them where they come from"
        )

    def _answered(self, error: Any) -> tuple[str, str]:
        detail, about = (error.response.get(name, {}) for name in ("Error", "ResponseMetadata"))
        code, status = str(detail.get("Code", "")), about.get("HTTPStatusCode")
        if code in BAD_CREDENTIALS:
            secret = "secret key" if code == "SignatureDoesNotMatch" else "access key"
            secret = "session token" if "Token" in code else secret
            return code, (
                f"{self.where} refuses the {secret}{self.who} ({code}): check the AWS credentials "
                "(`aws configure`, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or [s3] profile)"
            )
        if code in WRONG_REGION or status == 301:
            header = about.get("HTTPHeaders", {}).get("x-amz-bucket-region")
            region = detail.get("Region") or header
            return "WrongRegion", str(wrong_region(self.bucket, region))
        if code == "NoSuchBucket":
            return code, f"no bucket {self.bucket} on {self.where}: create it, or name another"
        if code == "RequestTimeTooSkewed":
            return code, f"the clock of this machine is wrong, {self.where} says: set it (NTP)"
        if code == "AccessControlListNotSupported":
            return code, (
                f"{self.target} allows no public objects (its ACLs are off): leave out --public, "
                "or allow ACLs and public access on the bucket"
            )
        if code in ("AccessDenied", "403", "AllAccessDisabled", "AccountProblem"):
            payer = "; of a bucket whose readers pay, say so by [s3] requester_pays"
            return "AccessDenied", (
                f"no permission to {self.action} {self.target}: the credentials{self.who} need "
                "s3:PutObject, s3:GetObject and, to see what is there, s3:ListBucket"
                f"{'' if self.settings.requester_pays else payer}"
            )
        kind = about.get("HTTPHeaders", {}).get("content-type", "xml")
        # For botocore a good answer that it cannot read is a failure, too.
        if code in ("500", "302", "303") and "xml" not in kind:
            return code, str(no_storage(self.where))
        if code in BUSY:
            return code, f"{self.where} is busy ({code}): run the same command again later"
        if code in ("NoSuchKey", "404"):
            return code, f"no such object in {self.target}"
        message = detail.get("Message") or f"HTTP {status}"
        return code, f"cannot {self.action} {self.target}: {code}: {message}"

    def _unanswered(self, error: BaseException) -> str:
        match type(error).__name__:
            case "SSOTokenLoadError" | "UnauthorizedSSOTokenError" | "SSOError":
                return self._ended
            case "CredentialRetrievalError":  # its own words may hold what a program printed
                return (
                    f"what gives the AWS credentials{self.who} fails: see what `aws sts "
                    "get-caller-identity` says"
                )
            case "NoCredentialsError" | "PartialCredentialsError":
                return (
                    "no AWS credentials: run `aws configure`, set AWS_ACCESS_KEY_ID and "
                    "AWS_SECRET_ACCESS_KEY, or set [s3] profile; for a bucket that anyone may "
                    "read set [s3] anonymous"
                )
            case "ProfileNotFound":
                return f"no AWS profile {self.profile}: see ~/.aws/config"
            case "EndpointConnectionError" | "ConnectTimeoutError" | "ConnectionClosedError":
                return f"cannot reach {self.where}: check the network and {ENDPOINT}"
            case "ReadTimeoutError" | "HTTPClientError":
                return f"{self.where} did not answer in time: run the same command again"
            case "SSLError":
                return f"{self.where} has no valid certificate, or no TLS: check {ENDPOINT}"
            case "ParamValidationError" if "bucket name" in str(error).lower():
                return f"{self.bucket} is no bucket name: 3 to 63 small letters, digits, - and ."
            case "ValueError" if "endpoint" in str(error):
                named = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
                endpoint = shown_url(named) if named else self.where
                return f"{endpoint} is no endpoint: http(s)://host[:port]"
            case "InvalidRegionError":
                region = getattr(error, "kwargs", {}).get("region_name")
                return f"{region} is no region: for example eu-west-1"
            case _:
                return f"cannot {self.action} {self.target}: {error}"
