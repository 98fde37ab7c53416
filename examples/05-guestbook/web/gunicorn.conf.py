"""Gunicorn's settings: one master with workers of its own kind, which is one process to the platform."""

import os

bind = f"0.0.0.0:{os.environ.get('PORT', '8080')}"
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))
threads = 4
# Below the ten seconds after which a container is killed: what was accepted is answered.
graceful_timeout = 8
# Workers show that they live by touching a file; shared memory is writable where the root file system is not.
worker_tmp_dir = "/dev/shm"
# A second way in that nobody asked for, and a file in the home folder that nobody has.
control_socket_disable = True
accesslog = "-"
access_log_format = '%(m)s %(U)s %(s)s %(B)s bytes %(M)s ms'
