"""Text into numbers: tokenisers with character spans, and vocabularies."""
