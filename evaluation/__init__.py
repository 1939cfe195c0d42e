"""Judge: metrics, probes, reports. Imports pipeline and features, never training."""
