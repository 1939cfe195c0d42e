import pytest

from tests.pipeline.s3 import s3_server


@pytest.fixture(scope="session")
def bucket():
    """The URL of a bucket on an S3 server of this session's own."""
    with s3_server() as url:
        yield url
