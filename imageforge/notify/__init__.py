"""Telling others how builds go: GitHub by commit statuses and comments, anybody by signed webhooks."""
