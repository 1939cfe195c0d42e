import errno
import logging

import pytest

from features.errors import HeedError
from pipeline import retries
from pipeline.retries import Gone, is_passing, retried, shown


class Told(Exception):
    """An error that carries a status, as web libraries' errors do."""

    def __init__(self, status):
        super().__init__(f"status {status}")
        self.status = status


class ClientPayloadError(Exception):
    """Of the name that aiohttp gives a body cut short."""


def caused(error, cause):
    error.__cause__ = cause
    return error


def failing(*errors):
    """A call that raises each of ``errors`` once and then gives "well"; and the list of its calls."""
    left, calls = list(errors), []

    def call():
        calls.append(1)
        if left:
            raise left.pop(0)
        return "well"

    return call, calls


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(retries, "FIRST", 0.001)


@pytest.mark.parametrize("error", [
    TimeoutError(), ConnectionResetError(), ConnectionRefusedError(), BrokenPipeError(),
    OSError(errno.EBUSY, "slow down"), OSError(errno.ENETUNREACH, "no network"), Told(500), Told(503), Told(429),
    ClientPayloadError("half"), caused(FileNotFoundError("x"), Told(503)), caused(OSError("x"), ConnectionResetError()),
])
def test_what_passes_by_itself_is_tried_again(error):
    assert is_passing(error)
    call, calls = failing(error, error, error)
    assert retried(call, "s3://b/x") == "well" and len(calls) == 4


@pytest.mark.parametrize(("error", "words"), [
    (PermissionError("Access Denied"), "s3://b/x: access is denied .Access Denied.. Check the credentials"),
    (Told(403), "access is denied"), (Told(401), "access is denied"),
    (caused(FileNotFoundError("x"), Told(403)), "status 403"),
    (Told(400), "s3://b/x is refused: HTTP status 400"), (ValueError("no such option"), "refused: no such option"),
    (OSError(errno.EINVAL, "Invalid bucket"), "refused: Invalid bucket"),
])
def test_what_stays_wrong_is_told_at_once_naming_the_url(error, words):
    call, calls = failing(error)
    with pytest.raises(HeedError, match=words):
        retried(call, "s3://b/x")
    assert len(calls) == 1


@pytest.mark.parametrize("error", [FileNotFoundError("x"), Told(404), Told(410), caused(OSError("x"), Told(404))])
def test_what_is_not_there_is_told_as_such(error):
    with pytest.raises(Gone, match="s3://b/x is not there"):
        retried(failing(error)[0], "s3://b/x")


@pytest.mark.parametrize("error", [MemoryError(), TypeError("a fault"), HeedError("said already")])
def test_other_errors_are_left_as_they_are(error):
    with pytest.raises(type(error)) as caught:
        retried(failing(error)[0], "s3://b/x")
    assert caught.value is error


def test_the_deadline_ends_it_and_pauses_grow_but_never_past_it(monkeypatch):
    now, pauses = [0.0], []
    monkeypatch.setattr(retries.time, "monotonic", lambda: now[0])

    def sleep(seconds):
        pauses.append(seconds)
        now[0] += seconds

    monkeypatch.setattr(retries.time, "sleep", sleep)
    monkeypatch.setattr(retries, "FIRST", 1.0)
    with pytest.raises(HeedError, match="s3://b/x does not answer: HTTP status 503"):
        retried(failing(*[Told(503)] * 1000)[0], "s3://b/x", seconds=100)
    assert 90 <= sum(pauses) <= 100 and max(pauses) <= retries.LONGEST
    for pause, longest in zip(pauses, [1, 2, 4, 8, 16], strict=False):
        assert longest / 2 <= pause <= longest
    assert len({round(pause, 6) for pause in pauses}) == len(pauses)


def test_a_long_wait_is_told_once(monkeypatch, caplog):
    monkeypatch.setattr(retries, "FIRST", 2.0)
    monkeypatch.setattr(retries.time, "sleep", lambda seconds: None)
    with caplog.at_level(logging.WARNING, "heed"):
        retried(failing(*[Told(503)] * 4)[0], "s3://b/x")
    assert [record.getMessage().split(" (")[0] for record in caplog.records] == ["s3://b/x does not answer"]


def test_the_environment_says_for_how_long(monkeypatch):
    monkeypatch.setenv(retries.VARIABLE, "0")
    call, calls = failing(Told(503), Told(503))
    with pytest.raises(HeedError, match="does not answer"):
        retried(call, "s3://b/x")
    assert len(calls) == 1
    monkeypatch.setenv(retries.VARIABLE, "soon")
    with pytest.raises(HeedError, match="'soon', which is no number of seconds"):
        retried(call, "s3://b/x")


def test_passwords_and_signatures_are_not_printed():
    assert shown("sftp://me:secret@host/x") == "sftp://host/x"
    assert shown("https://host/x?X-Amz-Signature=secret") == "https://host/x"
    assert shown("abfs://container@account/x") == "abfs://container@account/x"
    with pytest.raises(HeedError) as caught:
        retried(failing(ValueError("bad url ftp://me:secret@host/x"))[0], "ftp://me:secret@host/x?sig=secret")
    assert "secret" not in str(caught.value)
