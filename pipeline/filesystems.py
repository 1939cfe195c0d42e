"""fsspec's file systems, one for each host or bucket and process, opened as heed needs them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from features.errors import HeedError
from pipeline.retries import shown

T = TypeVar("T")

AT_ONCE = 32
"""Small files asked for at once."""

_filesystems: dict[str, Any] = {}
_opening = threading.Lock()


def _forget() -> None:
    """In a forked process: the threads behind the file systems have not come along, nor has who held the lock."""
    global _opening
    _opening = threading.Lock()
    _filesystems.clear()


os.register_at_fork(after_in_child=_forget)


def is_chained(url: str) -> bool:
    """Whether a URL leads through others, as zip://a.jpg::s3://bucket/b.zip does; a name may hold :: as well."""
    return "://" in url.partition("::")[2]


def filesystem(url: str) -> tuple[Any, str]:
    """fsspec's file system for a URL, one for all threads of a process, and the URL's path in it."""
    from fsspec.core import url_to_fs

    if is_chained(url):
        return _known(url, url_to_fs, url)
    scheme, _, rest = url.partition("://")
    key = f"{scheme}://{rest.partition('/')[0]}"
    with _opening:
        if key not in _filesystems:
            _filesystems[key] = _known(url, lambda: url_to_fs(url, **_options(scheme))[0])
            if hasattr(_filesystems[key], "retries"):  # heed asks again itself, so that one deadline holds
                _filesystems[key].retries = 1
        fs = _filesystems[key]
    return fs, fs._strip_protocol(url)


def _known(url: str, call: Callable[..., T], *arguments: Any) -> T:
    scheme = url.partition("://")[0]
    try:
        return call(*arguments)
    except ImportError as error:
        raise HeedError(f"{scheme}:// needs a package that is not installed: pip install 'heed[remote]' "
                        f"({error}).") from error
    except ValueError as error:
        if "not known" in str(error):
            raise HeedError(f"{shown(url)} cannot be opened: fsspec knows no {scheme}://.") from None
        raise


def _options(scheme: str) -> dict[str, Any]:
    """What heed asks of a file system beyond what the user has configured for fsspec."""
    if scheme in ("s3", "s3a"):
        from fsspec.config import conf

        given = conf.get(scheme, {}).get("config_kwargs", {})
        ours = {"max_pool_connections": 2 * AT_ONCE, "connect_timeout": 10, "read_timeout": 60,
                "retries": {"total_max_attempts": 1}}
        return {"config_kwargs": {**ours, **given}}
    if scheme in ("http", "https"):
        import aiohttp

        return {"client_kwargs": {"timeout": aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=60)}}
    return {}
