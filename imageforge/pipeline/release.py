"""Releases: of what was built, or of an earlier one again; which of them serves, and what it was made of."""

from __future__ import annotations

import contextlib
import datetime
import time
from collections.abc import Container, Mapping
from typing import TYPE_CHECKING, Any

import yaml

from imageforge.config.names import DEFAULT_PORT, FILE_NAME, WEB
from imageforge.errors import GateRefused
from imageforge.pipeline import own_manifests
from imageforge.pipeline.deployer import Deployer
from imageforge.pipeline.domains import NAMESPACE
from imageforge.pipeline.job_end import PATIENCE
from imageforge.pipeline.manifests import (
    Worker,
    Workload,
    changed_variables,
    generate,
    join,
    processes,
    renumber,
    rescale,
    with_environment,
)
from imageforge.pipeline.own_manifests import compose
from imageforge.pipeline.ownership import refuse_other_selectors, refuse_taken
from imageforge.pipeline.run_secrets import RunSecrets
from imageforge.store import App, Apps, Environment, Release, Releases, ReleaseStatus
from runtime import NotFound, RolloutPhase

if TYPE_CHECKING:
    from imageforge.pipeline.plan import Plan
    from imageforge.pipeline.run import Product

FILES = "files"
OPTIONS = ("port", "path", "replicas_from", "fixed", "fixed_in", "environment", "release_command", FILES)
"""What a release's report holds from the start: how it is watched, where its number of replicas came from, the
processes beside web whose number is set and where, the environment that the file gives it, its release command, and the
manifests that its repository brought, as they were there."""


def release_product(plan: Plan, product: Product, deployer: Deployer) -> Release:
    """A new release of what was built; stored, not yet running. A build whose worker was killed finds the release that
    it had made. Raises GateRefused (`runs-as-root`), UsageError (`process-name-taken`)."""
    releases = Releases(deployer.database)
    made = releases.made_by(plan.app, product.build_id)
    if made is not None:
        return made
    number = releases.next_number(plan.app)
    secrets = RunSecrets.now(plan.app, deployer.database, deployer.vault)
    manifests = _manifests(plan, product, deployer, number, secrets)
    _refuse(plan.app, manifests, deployer, own=plan.own is not None)
    names, fixed = _processes(plan)
    Apps(deployer.database).ensure(plan.app)
    Apps(deployer.database).claim(plan.app, names)
    release = Release(
        app=plan.app,
        number=number,
        build_id=product.build_id,
        reference=product.reference,
        image_id=product.image_id,
        manifests=manifests,
        status=ReleaseStatus.PENDING,
        created_at=time.time(),
        report={
            "port": _port(plan, product),
            "path": plan.health or "/",
            "replicas_from": plan.replicas_from,
            "fixed": fixed,
            "fixed_in": plan.own.place if plan.own else FILE_NAME,
            "files": plan.own.text if plan.own else None,
            "release_command": plan.release,
            "environment": dict(plan.environment),
        },
        secrets=secrets.sealed(deployer.vault) if secrets else None,
    )
    releases.add(release)
    return release


def again(
    earlier: Release, deployer: Deployer, *, note: str, refresh: bool = False, made_by: int | None = None
) -> Release:
    """A new release with an earlier one's image and manifests; only the release's number in them differs, and with
    `refresh` the environment and the secrets, which become what is set for the app now. `made_by` is the build that
    asks for it. Raises UsageError (`process-name-taken`), Conflict (`object-taken`, `selector-changed`)."""
    releases = Releases(deployer.database)
    Apps(deployer.database).claim(earlier.app, beside_web(earlier))
    number = releases.next_number(earlier.app)
    manifests = renumber(as_scaled(earlier, deployer), number)
    sealed = earlier.secrets
    if refresh:
        secrets = RunSecrets.now(earlier.app, deployer.database, deployer.vault)
        manifests = _refreshed(earlier, manifests, number, deployer, secrets)
        sealed = secrets.sealed(deployer.vault) if secrets else None
    # What the app has no more may have become somebody else's since.
    _refuse(earlier.app, manifests, deployer, own=bool((earlier.report or {}).get(FILES)))
    release = Release(
        app=earlier.app,
        number=number,
        build_id=earlier.build_id,
        reference=earlier.reference,
        image_id=earlier.image_id,
        manifests=manifests,
        status=ReleaseStatus.PENDING,
        created_at=time.time(),
        note=note,
        report={key: value for key, value in (earlier.report or {}).items() if key in OPTIONS},
        secrets=sealed,
    )
    releases.add(release, made_by=made_by)
    return release


def set_since(release: Release, deployer: Deployer) -> tuple[str, ...]:
    """The variables in which a release differs from what is set for its app now, by name; secrets are none of them."""
    # Its own secrets need not be opened for that: no variable that comes of one is compared.
    now = _refreshed(release, release.manifests, release.number, deployer, None)
    return changed_variables(release.manifests, now)


def _refreshed(release: Release, manifests: str, number: int, deployer: Deployer, secrets: RunSecrets | None) -> str:
    """A release's manifests with the environment that is set now, and these secrets."""
    options = release.report or {}
    if options.get(FILES):
        return _composed(
            str(options[FILES]), release.app, number, release.reference, deployer, secrets, fixed_processes(release)
        )
    own = options.get("environment") or {}
    environment = {**own, **Environment(deployer.database).of(release.app)}
    port = int(options.get("port", DEFAULT_PORT))
    return with_environment(manifests, environment, secrets.use if secrets else None, port=port)


def serving(plan: Plan, product: Product, deployer: Deployer) -> Release | None:
    """The live release, where it is in every point what this product would be released as, and runs whole."""
    live = Releases(deployer.database).live(plan.app)
    if live is None:
        return None
    # Other secrets have another name, and so make other manifests.
    secrets = RunSecrets.now(plan.app, deployer.database, deployer.vault)
    wanted = _manifests(plan, product, deployer, live.number, secrets)
    if list(yaml.safe_load_all(live.manifests)) != list(yaml.safe_load_all(wanted)):
        return None
    options = live.report or {}
    same_command = options.get("release_command") == plan.release
    return live if same_command and "requests" in options and runs(live, deployer) else None


def settle(app: str, deployer: Deployer, *, ours: int | None = None) -> Release | None:
    """The release that serves, after deploys that were killed and left theirs pending are settled.

    What the controller holds decides: a pending release that it runs to the end, with all of its processes, is live; so
    is one that it is still rolling out where there is none before it to go back to. All others have failed. `ours` is
    the caller's own.
    """
    releases = Releases(deployer.database)
    held = ""
    with contextlib.suppress(NotFound):
        held = deployer.controller.deployment(NAMESPACE, app).release
    live = releases.live(app)
    for release in releases.pending(app):
        if release.number == ours:
            continue
        serves = str(release.number) == held and (live is None or runs(release, deployer))
        releases.finish(app, release.number, ReleaseStatus.LIVE if serves else ReleaseStatus.FAILED, release.report)
    return releases.live(app)


def runs(release: Release, deployer: Deployer) -> bool:
    """Whether each process of a release runs whole, and of this release."""
    standing = {status.name: status for status in deployer.controller.deployments(NAMESPACE)}
    return all(
        name in standing
        and standing[name].phase is RolloutPhase.COMPLETE
        and standing[name].release in ("", str(release.number))  # a companion is of none
        for name in processes(release.manifests).values()
    )


def beside_web(release: Release) -> list[str]:
    """The processes of a release but web, by name."""
    return [name for name in processes(release.manifests) if name != WEB]


def fixed_processes(release: Release) -> dict[str, str]:
    """The processes of a release whose number of replicas is set elsewhere than by `scale`, and where that is."""
    options = release.report or {}
    web = {WEB: str(options["replicas_from"])} if options.get("replicas_from") else {}
    return {**web, **dict.fromkeys(options.get("fixed") or (), str(options.get("fixed_in") or FILE_NAME))}


def as_scaled(release: Release, deployer: Deployer) -> str:
    """A release's manifests with the replicas that `scale` asked for since, unless its file or a flag set them."""
    app = Apps(deployer.database).find(release.app)
    if app is None:
        return release.manifests
    fixed = fixed_processes(release)
    asked = dict(app.scales) if app.replicas is None else {WEB: app.replicas, **app.scales}
    wanted = {process: count for process, count in asked.items() if process not in fixed}
    return rescale(release.manifests, wanted) if wanted else release.manifests


def with_secrets(release: Release, manifests: str, deployer: Deployer) -> str:
    """A release's manifests with its Secret, which the runtime takes in one piece: no replica starts without it. Raises
    StackError (`key-wrong`, `key-missing`)."""
    secrets = RunSecrets.of(release, deployer.vault)
    return join(secrets.manifest(), manifests) if secrets else manifests


def _refuse(app: str, manifests: str, deployer: Deployer, *, own: bool) -> None:
    """Raise Conflict where the runtime would not take a release's manifests, or an app's `own` would take what is
    somebody else's."""
    live = Releases(deployer.database).live(app)
    if live is not None:
        refuse_other_selectors(live.manifests, app, NAMESPACE, manifests)
    if own:
        views = deployer.controller.patient(PATIENCE).views(namespace=NAMESPACE)
        refuse_taken(views, app, NAMESPACE, manifests)


def _manifests(plan: Plan, product: Product, deployer: Deployer, number: int, secrets: RunSecrets | None) -> str:
    if plan.own is None:
        return generate(_workload(plan, product, deployer, number, secrets))
    _check_user(plan, product.config)
    fixed = dict.fromkeys(plan.own.fixed, plan.own.place)
    return _composed(plan.own.text, plan.app, number, product.reference, deployer, secrets, fixed)


def _composed(
    files: str,
    app: str,
    number: int,
    reference: str,
    deployer: Deployer,
    secrets: RunSecrets | None,
    fixed: Container[str],
) -> str:
    """The manifests that a repository brought, with what the app has now."""
    found = Apps(deployer.database).find(app)
    scales = {} if found is None else dict(found.scales)
    if found is not None and found.replicas is not None:
        scales[WEB] = found.replicas
    return compose(
        files,
        own_manifests.Release(
            app=app,
            number=number,
            reference=reference,
            deadline=deployer.settings.deploy_deadline,
            replicas={process: count for process, count in scales.items() if process not in fixed},
            environment=Environment(deployer.database).of(app),
            secret=secrets.use if secrets else None,
        ),
    )


def _processes(plan: Plan) -> tuple[list[str], list[str]]:
    """The processes beside web, and those of them whose replicas are set."""
    if plan.own:
        return [name for name in plan.own.processes if name != WEB], [name for name in plan.own.fixed if name != WEB]
    fixed = [process.name for process in plan.processes if process.replicas is not None]
    return [process.name for process in plan.processes], fixed


def _workload(plan: Plan, product: Product, deployer: Deployer, number: int, secrets: RunSecrets | None) -> Workload:
    numeric = _check_user(plan, product.config)
    found = Apps(deployer.database).find(plan.app)
    app = found or App(name=plan.app, created_at=0.0, replicas=None)
    return Workload(
        app=plan.app,
        release=number,
        reference=product.reference,
        port=_port(plan, product),
        replicas=_replicas(plan, app.replicas),
        host=deployer.host(plan.app),
        deadline=deployer.settings.deploy_deadline,
        health=plan.health,
        environment={**plan.environment, **Environment(deployer.database).of(plan.app)},
        numeric_user=numeric,
        secret=secrets.use if secrets else None,
        command=plan.command,
        workers=tuple(
            Worker(
                name=process.name,
                command=process.command,
                replicas=app.scales.get(process.name, 1) if process.replicas is None else process.replicas,
            )
            for process in plan.processes
        ),
    )


def _check_user(plan: Plan, config: Mapping[str, Any]) -> bool:
    """Whether the image's user is a number other than 0; an image that runs as root is refused unless waived."""
    user = str((config.get("config") or {}).get("User") or "").split(":")[0]
    root = user in ("", "0", "root")
    made_root = own_manifests.as_root(plan.own.text, plan.app) if plan.own else ()
    if not (root or made_root) or _may_be_root(plan):
        return user.isdigit() and not root
    if made_root:
        raise GateRefused(
            "runs-as-root",
            plan.app,
            f"{made_root[0]}: its runAsUser is 0",
            hint="take it out, or waive IF402 in [lint] waivers with a reason and an end date",
            kept="the image was built and pushed; nothing was deployed",
        )
    raise GateRefused(
        "runs-as-root",
        plan.app,
        "the image has no USER, so its processes run as root" if not user else f"the image's USER is {user}",
        hint="add `USER 10001` to the Dockerfile, or waive IF402 in [lint] waivers with a reason and an end date",
        kept="the image was built and pushed; nothing was deployed",
    )


def _may_be_root(plan: Plan) -> bool:
    """Whether the project says so, by a waiver, a comment of the Dockerfile, or what it makes of IF402."""
    from linters import Severity, waived_rules  # noqa: PLC0415 - most of who asks after releases judges none

    today, policy = datetime.date.today(), plan.policy
    if plan.waived("IF401", today) or plan.waived("IF402", today) or not policy.on("IF402"):
        return True
    if policy.severity("IF402", Severity.ERROR).rank > plan.fail_on.rank:
        return True
    return "IF402" in waived_rules(plan.dockerfile, policy)


def _port(plan: Plan, product: Product) -> int:
    if plan.port:
        return plan.port
    return product.exposed_ports[0] if len(product.exposed_ports) == 1 else DEFAULT_PORT


def _replicas(plan: Plan, scaled: int | None) -> int:
    if plan.replicas is not None:
        return plan.replicas
    return 1 if scaled is None else scaled
