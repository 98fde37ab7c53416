"""The HTTP API: builds, apps, webhooks, a git remote. A reader and writer of the same store as the command line."""
