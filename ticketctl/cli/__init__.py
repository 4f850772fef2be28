"""The command line: unpacks arguments, calls a stage, prints."""
