"""Tars of samples in WebDataset's naming, heed's own and others', read in order or at random."""
