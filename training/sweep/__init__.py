"""Sweeps: variants x seeds of one task, each an ordinary run, and the table that compares them."""
