"""The four floors of tests mirror the four floors of the source."""
