"""Images by name, wherever they lie: the engine, files, layouts and registries, and what the store knows of them."""
