"""The report page: what stands on it (parts), a picture in words (alt), and HTML out of both (render)."""
