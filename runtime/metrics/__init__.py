"""What replicas and Services use and do: read from the kernel and the balancer, and told as figures."""
