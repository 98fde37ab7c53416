"""The way in for others than this machine: certificates by ACME, tokens for the registry, the balancer's own word."""
