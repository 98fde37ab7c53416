"""Deliveries of GitHub, GitLab, Gitea, Forgejo and Gogs: who sent them, proof of it, what they say, what follows."""

from imageforge.webhooks.decision import Decision, Rules, decide, skips_ci
from imageforge.webhooks.delivery import Delivery, DeliveryKind
from imageforge.webhooks.errors import MalformedDelivery, SignatureRefused
from imageforge.webhooks.parse import parse
from imageforge.webhooks.provider import Provider, identify
from imageforge.webhooks.sample import SampleRequest, sample, sample_ping
from imageforge.webhooks.signature import standard_signature, verify

__all__ = [
    "Decision",
    "Delivery",
    "DeliveryKind",
    "MalformedDelivery",
    "Provider",
    "Rules",
    "SampleRequest",
    "SignatureRefused",
    "decide",
    "identify",
    "parse",
    "sample",
    "sample_ping",
    "skips_ci",
    "standard_signature",
    "verify",
]
