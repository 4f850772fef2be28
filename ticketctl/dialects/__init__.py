"""How other programs write masks: one module for each dialect, which reads it and, where it can, writes it."""
