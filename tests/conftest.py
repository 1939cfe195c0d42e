"""What holds for every test."""

import os

# Before torch is imported: small tensors gain nothing by a second thread, and tests run beside each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
