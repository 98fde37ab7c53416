"""Speed, measured against the tools that people use: ``python -m benchmarks``. Nothing here is a test."""
