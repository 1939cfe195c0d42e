"""Move: sources, shard plans, extraction jobs, stores and streams. Imports features only."""
