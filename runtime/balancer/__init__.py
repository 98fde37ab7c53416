"""HAProxy as the data plane: its configuration, its two sockets, its counters, and the order that drops no request."""
