"""The formats as numpy sees them: tickets, runs and their files. torch is never imported."""
