"""Figures computed from predictions and truth: arrays in, figures with intervals out. One file a family of metrics."""
