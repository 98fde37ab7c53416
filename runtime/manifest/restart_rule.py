"""What becomes of a container by the code with which it ended: ``restartPolicy`` and ``restartPolicyRules`` of its own.

After KEP-5307 and KEP-5532: the first rule that matches decides; where none does, the container's own policy, else that
of its pod.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from runtime.manifest.cursor import Cursor
from runtime.manifest.schema import Many, Object, Text, Whole
from runtime.restart import RestartPolicy

_MOST_RULES, _MOST_VALUES = 20, 255


class RestartAction(StrEnum):
    """The container is started again; all containers of the pod begin anew, those that run before the others too."""

    RESTART = "Restart"
    ALL = "RestartAllContainers"


@dataclass(frozen=True, kw_only=True, slots=True)
class RestartRule:
    """What follows an end with one of `codes`, or, `inverted`, with any other."""

    action: RestartAction
    codes: tuple[int, ...]
    inverted: bool = False

    def matches(self, exit_code: int) -> bool:
        """Whether it is for this end."""
        return (exit_code in self.codes) is not self.inverted


@dataclass(frozen=True, kw_only=True, slots=True)
class Restarts:
    """Which ends of a container are followed by another start."""

    policy: RestartPolicy
    rules: tuple[RestartRule, ...] = ()

    @property
    def always(self) -> bool:
        """Whether each is, with nothing to be known of it."""
        return self.policy is RestartPolicy.ALWAYS and not self.rules

    def action(self, exit_code: int | None) -> RestartAction | None:
        """What the rules say of this end; None where they say nothing, as of one that nobody saw."""
        if exit_code is None:
            return None
        return next((rule.action for rule in self.rules if rule.matches(exit_code)), None)

    def starts_again(self, exit_code: int | None) -> bool:
        """Whether the container does after this end."""
        return self.action(exit_code) is not None or self.policy.starts_again(exit_code)


RESTART_RULES = Many(
    item=Object(
        fields={
            "action": Text(choices=tuple(RestartAction)),
            "exitCodes": Object(
                fields={
                    "operator": Text(choices=("In", "NotIn")),
                    "values": Many(item=Whole(high=255), least=1, most=_MOST_VALUES),
                },
                required=("operator", "values"),
            ),
        },
        required=("action", "exitCodes"),
    ),
    most=_MOST_RULES,
)


def restart_rules(container: Cursor) -> tuple[RestartRule, ...]:
    """Those of a container that the schema has passed."""
    said = container.get("restartPolicyRules")
    if said.items() and container.get("restartPolicy").node.value is None:
        raise said.fail("missing-field", ": restartPolicy must be set when restartPolicyRules are", hint="add it")
    return tuple(
        RestartRule(
            action=RestartAction(item.get("action").plain()),
            codes=tuple(item.get("exitCodes").get("values").plain()),
            inverted=item.get("exitCodes").get("operator").plain() == "NotIn",
        )
        for item in said.items()
    )
