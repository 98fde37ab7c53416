"""One file a rule, with its page beside it. Adding a file is adding a rule; see the package's README."""
