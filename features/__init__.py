"""See: pixels, sound and text into numbers. The lowest floor: imports none of the others."""
