"""Trying again what a network has interrupted, and nothing else.

Time-outs, lost connections, bodies cut short, throttling and the server's own faults (5xx) pass by themselves: a call
is repeated after pauses that double, each shortened at random so that many workers do not come back at one moment,
until a deadline. What is forbidden, missing or wrong stays so, and is told at once.
"""

from __future__ import annotations

import errno
import logging
import os
import random
import re
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from features.errors import HeedError

T = TypeVar("T")

VARIABLE = "HEED_RETRY_SECONDS"
SECONDS = 120.0
"""How long a store's files are asked for, unless the environment variable says otherwise."""
FIRST, LONGEST = 0.2, 20.0
"""The first and the longest pause between two attempts, in seconds."""

_STATUSES = frozenset([408, 425, 429, 500, 502, 503, 504])
_ERRNOS = frozenset(getattr(errno, name) for name in (
    "EAGAIN", "EBUSY", "ECONNABORTED", "ECONNREFUSED", "ECONNRESET", "EHOSTUNREACH", "ENETDOWN", "ENETUNREACH",
    "EPIPE", "EREMOTEIO", "ETIMEDOUT") if hasattr(errno, name))
_NAMES = frozenset([
    "ClientConnectionError", "ClientPayloadError", "ServerTimeoutError",  # aiohttp
    "HTTPClientError", "IncompleteReadError", "ResponseParserError", "ResponseStreamingError",  # botocore
    "ChunkedEncodingError", "Timeout", "ConnectionError", "TransportError",  # requests, httpx, google-auth
    "IncompleteRead", "ProtocolError", "FSTimeoutError",  # http.client, urllib3, fsspec
])
"""Classes by name, so that none of the packages has to be there. `ConnectionError` is also Python's own."""
_LASTING = frozenset(["ClientConnectorCertificateError", "SSLCertVerificationError", "InvalidURL"])
_PASSWORD = re.compile(r"(?<=://)[^/@:]*:[^/@]*@")


class Gone(FileNotFoundError):
    """What was asked for is not there: no file of that name, no bucket, or status 404."""


def shown(url: str) -> str:
    """A URL as it may be printed: without a user's name and password, and without a signature."""
    return without_password(url.partition("?")[0])


def without_password(url: str) -> str:
    """A URL as it may be kept: without a user's name and password."""
    return _PASSWORD.sub("", url)


def patience() -> float:
    """Seconds for which a store's files are asked for: ``HEED_RETRY_SECONDS``, or `SECONDS`."""
    text = os.environ.get(VARIABLE, "")
    try:
        return float(text or SECONDS)
    except ValueError:
        raise HeedError(f"{VARIABLE} is {text!r}, which is no number of seconds.") from None


def retried(call: Callable[[], T], url: str, seconds: float | None = None) -> T:
    """``call()``, repeated while it fails for a passing reason, for at most ``seconds`` (default: `patience`).

    Raises `Gone` where ``url`` is not there, and `HeedError` naming it where it is refused or the time is up.
    """
    whole = patience() if seconds is None else seconds
    ends = time.monotonic() + whole
    pause, told = FIRST, False
    while True:
        try:
            return call()
        except (HeedError, MemoryError):
            raise
        except Exception as error:
            status = _status(error)
            left = ends - time.monotonic()
            if not is_passing(error):
                if status in (404, 410) or (status is None and isinstance(error, FileNotFoundError)):
                    raise Gone(f"{shown(url)} is not there") from error
                if type(error).__module__ == "builtins" and not isinstance(error, OSError | ValueError | RuntimeError):
                    raise  # a fault of the program
                raise HeedError(_refusal(url, error, status)) from error
            if left <= 0:
                longer = f"; {VARIABLE} says for how long" if seconds is None else ""
                raise HeedError(f"{shown(url)} does not answer: {_reason(error)}. It was asked again for {whole:g} s"
                                f"{longer}.") from error
            if pause >= 2 and not told:
                logging.getLogger("heed").warning("%s does not answer (%s); trying again for up to %.0f s",
                                                  shown(url), _reason(error), left)
                told = True
            time.sleep(min(left, pause * random.uniform(0.5, 1)))
            pause = min(2 * pause, LONGEST)


def is_passing(error: BaseException) -> bool:
    """Whether a call that raised ``error`` may well succeed when it is made again."""
    for link in _chain(error):
        names = {kind.__name__ for kind in type(link).__mro__}
        if names & _LASTING:
            return False
        if isinstance(link, ConnectionError | TimeoutError) or getattr(link, "errno", None) in _ERRNOS:
            return True
        status = _own_status(link)
        if status is not None:
            return status in _STATUSES
        if names & _NAMES:
            return True
    return False


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and its causes: libraries put the true reason of a FileNotFoundError behind it."""
    for _ in range(5):
        if error is None:
            return
        yield error
        error = error.__cause__


def _status(error: BaseException) -> int | None:
    return next((status for link in _chain(error) if (status := _own_status(link)) is not None), None)


def _own_status(error: BaseException) -> int | None:
    """The HTTP status an error stands for, wherever its library keeps it."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):  # botocore
        found = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    elif response is not None:  # requests, httpx
        found = getattr(response, "status_code", None)
    else:  # aiohttp, or gcsfs
        found = getattr(error, "status" if hasattr(error, "status") else "code", None)
    return found if isinstance(found, int) and 300 <= found < 600 else None


def _refusal(url: str, error: Exception, status: int | None) -> str:
    names = {kind.__name__ for link in _chain(error) for kind in type(link).__mro__}
    if isinstance(error, PermissionError) or status in (401, 403) or "NoCredentialsError" in names:
        return f"{shown(url)}: access is denied ({_reason(error)}). Check the credentials, and what they allow."
    return f"{shown(url)} is refused: {_reason(error)}."


def _reason(error: BaseException) -> str:
    """The error in few words, without the addresses that libraries put into them."""
    status = _status(error)
    words = getattr(error, "strerror", None) or getattr(error, "message", None) or str(error)
    words = _PASSWORD.sub("", str(words)).strip().rstrip(".").split("\n")[0][:200] or type(error).__name__
    return f"HTTP status {status}, {words}" if status else words
