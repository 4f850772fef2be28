"""The one door to disk: strict reading, canonical atomic writing, locks. numpy and the standard library alone."""
