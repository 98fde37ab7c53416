"""Builds that wait, and the workers that carry them out. SQL is the queue of record; RQ wakes the workers."""
