"""What keeps a bucket from being used, in words for whoever is to mend it.

The client's own text goes to nobody: addresses and the server's answers are in it. It is the only place, though, that
tells what happened: the client has one exception for nearly everything.
"""

from __future__ import annotations

import re

_MISSING = (
    "The registry's bucket '{bucket}' does not exist at its endpoint; create it, or correct the store's URL or "
    "AWS_ENDPOINT_URL."
)
_UNKNOWN = (
    "The credentials for the registry's bucket '{bucket}' are not accepted; correct AWS_ACCESS_KEY_ID, "
    "AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN."
)
_FORBIDDEN = (
    "The registry's bucket '{bucket}' refuses access; let these credentials list, read, write and delete in it, or "
    "give others in the AWS_* variables."
)
_WITHOUT = (
    "There are no credentials for the registry's bucket '{bucket}'; set AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY, or give the machine a role."
)
_ELSEWHERE = "The registry's bucket '{bucket}' is in another region; correct AWS_REGION."
_CLOCK = "The registry's bucket '{bucket}' refuses requests of another time; set this machine's clock."
_CLOSED = "Nothing listens at the endpoint of the registry's bucket '{bucket}'; correct AWS_ENDPOINT_URL, or try again."
_NOWHERE = (
    "The host of the endpoint of the registry's bucket '{bucket}' is not found; correct AWS_ENDPOINT_URL or "
    "AWS_REGION, or try again."
)
_SILENT = "The registry's bucket '{bucket}' does not answer in time; try again."
_FAILED = "The registry's bucket '{bucket}' does not answer as it should; try again."

_NO_BUCKET = "<Code>NoSuchBucket</Code>"

_SIGNS = (
    (_NO_BUCKET, _MISSING),
    ("<Code>(InvalidAccessKeyId|SignatureDoesNotMatch|InvalidToken|ExpiredToken)</Code>", _UNKNOWN),
    ("<Code>RequestTimeTooSkewed</Code>", _CLOCK),
    ("<Code>(AuthorizationHeaderMalformed|PermanentRedirect)</Code>|configured region", _ELSEWHERE),
    # Where the machine's role would be asked for: what comes last, where nothing else gives credentials.
    ("/latest/(api/token|meta-data)", _WITHOUT),
    ("status code: 401", _UNKNOWN),
    ("status code: 403", _FORBIDDEN),
    ("status code: 404", _MISSING),
    ("kind: ConnectionRefused", _CLOSED),
    ('"dns error"', _NOWHERE),
    ("kind: Timeout", _SILENT),
)
"""Patterns in the client's text, the first that is found counts. A HEAD brings no code, only a status."""


def refusal(bucket: str, error: Exception) -> str:
    """One sentence about what a request has failed with."""
    said = str(error)
    sentence = next((sentence for sign, sentence in _SIGNS if re.search(sign, said)), _FAILED)
    return sentence.format(bucket=bucket)


def lacks_bucket(error: FileNotFoundError) -> bool:
    """Whether it is the bucket that was not found, rather than an object in it."""
    return _NO_BUCKET in str(error)
