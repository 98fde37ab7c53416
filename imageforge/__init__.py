"""imageforge composes linters, builders, registry and runtime: command line, pipeline, store, stack."""

__version__ = "0.1.0"
