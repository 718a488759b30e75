"""One folder per file format, and the steps they share: write, verify, rename."""
