"""Damaged and made-up files for every reader of heed's; `python -m benchmarks.fuzz` runs them by the million."""
