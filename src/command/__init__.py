"""The command line: from words to a run and its exit status."""
