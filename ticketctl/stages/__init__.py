"""Recipe and artifacts in, artifacts out; resuming lives here."""
