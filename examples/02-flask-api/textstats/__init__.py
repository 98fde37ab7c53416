"""Statistics of a text, over HTTP."""
