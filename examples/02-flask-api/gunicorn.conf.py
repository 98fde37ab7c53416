"""gunicorn, for a container: one master with two threads of work, logs to stdout."""

import os

bind = f"0.0.0.0:{os.environ.get('PORT', '8080')}"
workers = 1
threads = 4
# Heartbeats in memory: the root file system may be read-only, and a slow disk must not look like a dead worker.
worker_tmp_dir = "/dev/shm"
control_socket_disable = True
accesslog = "-"
keepalive = 65  # longer than the balancer keeps an idle connection, so that it is never closed under a request
graceful_timeout = 20
