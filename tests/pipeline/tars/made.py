"""Tars as others make them."""

import io
import tarfile


def made_tar(members, format=tarfile.USTAR_FORMAT):
    """A tar of (name, content) pairs or of `tarfile.TarInfo`s without content."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=format) as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
            else:
                header = tarfile.TarInfo(member[0])
                header.size = len(member[1])
                tar.addfile(header, io.BytesIO(member[1]))
    return file.getvalue()


def special(name, kind, target=""):
    header = tarfile.TarInfo(name)
    header.type, header.linkname = kind, target
    return header


def image_samples(first, last):
    """Image, caption and metadata for each number, as img2dataset names them."""
    return [(f"{i:05d}.{part}", content) for i in range(first, last) for part, content in (
        ("jpg", bytes([i % 256]) * (i % 700)), ("txt", f"caption {i}".encode()), ("json", b'{"id": %d}' % i))]
