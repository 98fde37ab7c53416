"""A guestbook: a page on which visitors leave a line, kept in Redis."""
