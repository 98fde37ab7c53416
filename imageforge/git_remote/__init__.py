"""The git remote: bare repositories, git's own http-backend in front of them, and hooks that build."""
