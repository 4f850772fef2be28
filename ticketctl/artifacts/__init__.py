"""The formats as numpy sees them: reading and writing tickets, runs and their files. torch is never imported."""
