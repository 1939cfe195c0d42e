"""Where the shared data lies, for the tests that use real files."""

from pathlib import Path

import pytest

SHARED = Path(__file__).parents[1].parent / "shared"
needs_shared = pytest.mark.skipif(
    not (SHARED / "data").is_dir(), reason="the shared data folder is not beside the checkout")
