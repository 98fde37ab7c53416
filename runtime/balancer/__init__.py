"""HAProxy as the data plane: its configuration, its runtime API, and the order of changes that loses no request."""

from runtime.balancer.balancer import Balancer
from runtime.balancer.config import Backend, Server, initial_config

__all__ = ["Backend", "Balancer", "Server", "initial_config"]
