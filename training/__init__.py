"""Learn: attention variants, models, tasks and the loop. Imports every floor below."""
