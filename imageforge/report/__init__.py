"""The build and deploy reports: terminal tables, Markdown, JSON."""
