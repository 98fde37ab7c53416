"""Manifests: what is refused, by which name and on which line; then what is accepted, and as what."""

from __future__ import annotations

import pytest

from runtime import ManifestError, load_manifests
from runtime.manifest import dump, reload
from runtime.manifest.kinds import JOB_SPEC, POD
from runtime.manifest.model import Deployment, Job, Service
from runtime.manifest.schema import Object
from runtime.manifest.template import template_hash
from tests.runtime.stack import manifest

GOOD = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  replicas: 3
  selector:
    matchLabels: {app: web}
  template:
    metadata:
      labels: {app: web}
    spec:
      containers:
        - name: web
          image: registry:5000/web@sha256:0123
          env:
            - {name: A, value: "1"}
          ports:
            - {containerPort: 8080, name: http}
          readinessProbe:
            httpGet: {path: /ready, port: http}
---
apiVersion: v1
kind: Service
metadata:
  name: web
  annotations: {imageforge.io/host: "Web.localhost, www.example.org"}
spec:
  selector: {app: web}
  ports: [{port: 80, targetPort: http}]
"""

# (replaced, by, code, line, part of the message, part of the hint)
REFUSED = [
    ("replicas: 3", "replica: 3", "unknown-field", 6, "spec.replica ", "`replicas`"),
    ("image: reg", "imagee: reg", "unknown-field", 15, "containers[0].imagee", "`image`"),
    ("  replicas: 3", "  Replicas: 3", "unknown-field", 6, "spec.Replicas", "`replicas`"),
    ("  replicas: 3", "  zzz: 3", "unknown-field", 6, "spec.zzz", "known here: "),
    (
        "matchLabels: {app: web}",
        "matchLabels: {app: web}\n    template: {}",
        "misplaced-field",
        9,
        "spec.selector.template",
        "dedent `template` to the level of `selector`",
    ),
    (
        "replicas: 3",
        "image: x",
        "misplaced-field",
        6,
        "spec.image",
        "indent `image` under `template.spec.containers[]`",
    ),
    (
        "          env:",
        "          replicas: 3\n          env:",
        "misplaced-field",
        16,
        "containers[0].replicas",
        "dedent `replicas` to the level of `template`",
    ),
    (
        "      labels: {app: web}\n    spec",
        "      matchLabels: {app: web}\n    spec",
        "misplaced-field",
        11,
        "template.metadata.matchLabels",
        "`spec.selector`",
    ),
    (
        "replicas: 3",
        "replicas: 3\n  replicas: 4",
        "duplicate-key",
        7,
        "spec.replicas was already set on line 6",
        "keep one",
    ),
    ("{app: web}\n  template", "{app: web, app: web}\n  template", "duplicate-key", 8, "matchLabels.app", "keep one"),
    ("replicas: 3", 'replicas: "3"', "wrong-type", 6, 'the string "3", expected an integer', "remove the quotes"),
    ("replicas: 3", "replicas: 3.5", "wrong-type", 6, "the number 3.5", None),
    ("replicas: 3", "replicas: true", "wrong-type", 6, "the boolean true", None),
    ('value: "1"', "value: 8080", "wrong-type", 17, "the number 8080, expected a string", 'quote it: "8080"'),
    ('value: "1"', "value: yes", "wrong-type", 17, "the boolean true", None),
    ('value: "1"', "value: [1]", "wrong-type", 17, "a list, expected a string", None),
    ("matchLabels: {app: web}", "matchLabels: [app]", "wrong-type", 8, "a list, expected a mapping", None),
    (
        "          env:\n            - {name: A",
        "          env:\n            {name: A",
        "wrong-type",
        17,
        "a mapping, expected a list",
        "- ",
    ),
    (
        "labels: {app: web}\n    spec",
        "labels: {app: 1}\n    spec",
        "wrong-type",
        11,
        "labels.app is the number 1",
        '"1"',
    ),
    ("kind: Service", "kind: Servise", "unknown-kind", 24, "Servise", "did you mean Service?"),
    (
        "kind: Service",
        "kind: Wibble",
        "unknown-kind",
        24,
        "Wibble",
        "supported: ConfigMap, CronJob, Deployment, HorizontalPodAutoscaler, Ingress, ",
    ),
    ("kind: Service", "kind: StatefulSet", "unsupported-kind", 24, "StatefulSet", "supported: "),
    ("kind: Service", "kind: 7", "wrong-type", 24, "the number 7", None),
    ("kind: Service\n", "", "missing-field", 23, "kind is missing", None),
    ("apiVersion: v1\n", "", "missing-field", 23, "apiVersion is missing", "apiVersion: v1"),
    ("apps/v1", "extensions/v1beta1", "unsupported-version", 1, "extensions/v1beta1", "apps/v1"),
    ("replicas: 3", "paused: 1", "wrong-type", 6, "spec.paused", None),
    (
        "          env:",
        "          resizePolicy: [{resourceName: cpu}]\n          env:",
        "missing-field",
        16,
        "resizePolicy[0].restartPolicy",
        "restartPolicy",
    ),
    (
        "          env:",
        "          volumes: [{name: a}]\n          env:",
        "misplaced-field",
        16,
        "volumes: it belongs at spec.template.spec.volumes",
        "dedent `volumes`",
    ),
    (
        "      containers:",
        "      hostNetwork: true\n      containers:",
        "unsupported-field",
        13,
        "spec.hostNetwork",
        None,
    ),
    (
        "        - name: web\n",
        "        - {name: web, image: x}\n        - name: web\n",
        "invalid-value",
        15,
        'the name "web" is already used on line 14',
        None,
    ),
    (
        "replicas: 3",
        "strategy: {type: Recreate, rollingUpdate: {maxSurge: 1}}",
        "invalid-value",
        6,
        "Recreate",
        "remove it",
    ),
    ("replicas: 3", "strategy: {type: Rolling}", "invalid-value", 6, "Rolling", "`RollingUpdate`"),
    ("replicas: 3", "replicas: -1", "invalid-value", 6, "-1", None),
    ("replicas: 3", "strategy: {rollingUpdate: {maxSurge: 0, maxUnavailable: 0%}}", "invalid-value", 6, "both 0", None),
    ("replicas: 3", "strategy: {rollingUpdate: {maxUnavailable: 101%}}", "invalid-value", 6, "101%", None),
    ("replicas: 3", "strategy: {rollingUpdate: {maxSurge: 1.5%}}", "invalid-value", 6, "1.5%", None),
    ("replicas: 3", "progressDeadlineSeconds: 5\n  minReadySeconds: 5", "invalid-value", 6, "more than", None),
    ("name: web\nspec", "name: Web_1\nspec", "invalid-value", 4, "Web_1", None),
    ("containerPort: 8080", "containerPort: 0", "invalid-value", 19, "1 to 65535", None),
    ("containerPort: 8080", "containerPort: 8080, protocol: UDP", "unsupported-value", 19, "UDP", None),
    ("containerPort: 8080", "containerPort: 8080, hostPort: 0", "invalid-value", 19, "hostPort", None),
    ("containerPort: 8080", "containerPort: 8080, hostIP: 1.2.3.4", "unsupported-field", 19, "hostIP", None),
    (
        "            - {containerPort: 8080, name: http}",
        "            - {containerPort: 8080, name: http}\n            - {containerPort: 81, name: http}",
        "invalid-value",
        20,
        "already used on line 19",
        None,
    ),
    ("port: http}\n---", "port: web}\n---", "invalid-value", 21, '"web"', "name the port"),
    (
        "httpGet: {path: /ready, port: http}",
        "periodSeconds: 1",
        "invalid-value",
        21,
        "one of exec, httpGet, tcpSocket and grpc",
        None,
    ),
    ("httpGet: {path: /ready, port: http}", "httpGet: {path: /}", "missing-field", 21, "httpGet.port", None),
    ("labels: {app: web}\n    spec", "labels: {app: other}\n    spec", "selector-mismatch", 8, "app=web", "labels"),
    ("    matchLabels: {app: web}\n", "    matchLabels: {}\n", "invalid-value", 8, "at least one label", None),
    ("          image: registry:5000/web@sha256:0123\n", "", "missing-field", 14, "containers[0].image", None),
    ("image: registry:5000/web@sha256:0123", 'image: "a b"', "invalid-value", 15, '"a b"', None),
    ("Web.localhost,", "http://x/,", "invalid-value", 27, '"http://x/"', "without scheme"),
    ("[{port: 80, targetPort: http}]", "[]", "invalid-value", 30, "empty", None),
    (
        "[{port: 80, targetPort: http}]",
        "[{port: 80}, {port: 81, name: b}]",
        "missing-field",
        30,
        "name is missing",
        None,
    ),
    (
        "[{port: 80, targetPort: http}]",
        "[{port: 80, name: a}, {port: 81, name: b}]",
        "ambiguous-route",
        30,
        "there are 2",
        "`http`",
    ),
    (
        "[{port: 80, targetPort: http}]",
        "[{port: 80}]\n  type: LoadBalancer\n  loadBalancerIP: 10.0.0.9",
        "unsupported-field",
        32,
        "loadBalancerIP",
        None,
    ),
    (
        "[{port: 80, targetPort: http}]",
        "[{port: 80}]\n  type: LoadBalancer\n  loadBalancerSourceRanges: [10.0.0.9]",
        "invalid-value",
        32,
        "a network such as 10.0.0.0/8",
        None,
    ),
    (
        "[{port: 80, targetPort: http}]",
        "[{port: 80}]\n  loadBalancerSourceRanges: [10.0.0.0/8]",
        "invalid-value",
        31,
        "type is LoadBalancer",
        None,
    ),
    (
        "[{port: 80, targetPort: http}]",
        "[{port: 80}]\n  clusterIP: None\n  type: LoadBalancer",
        "invalid-value",
        31,
        "LoadBalancer",
        None,
    ),
    (
        "[{port: 80, targetPort: http}]",
        "[{port: 80}]\n  ipFamilies: [IPv6]",
        "unsupported-value",
        31,
        "IPv4",
        "IPv4 addresses",
    ),
    (
        "[{port: 80, targetPort: http}]",
        "[{port: 80}]\n  type: ExternalName",
        "unsupported-value",
        31,
        "or NodePort",
        None,
    ),
    ("[{port: 80, targetPort: http}]", "[{port: 80, nodePort: 30000}]", "invalid-value", 30, "type is ClusterIP", None),
    ("[{port: 80, targetPort: http}]", "[{port: 80, nodePort: 80}]", "invalid-value", 30, "30000 to 32767", None),
    (
        "[{port: 80, targetPort: http}]",
        "[{port: 80}]\n  clusterIP: 10.0.0.9",
        "unsupported-value",
        31,
        "None",
        "its name",
    ),
    (
        "[{port: 80, targetPort: http}]",
        "[{port: 80}]\n  clusterIP: None\n  type: NodePort",
        "invalid-value",
        31,
        "NodePort",
        None,
    ),
    (
        "[{port: 80, targetPort: http}]",
        "[{port: 80}]\n  sessionAffinityConfig: {clientIP: {timeoutSeconds: 5}}",
        "invalid-value",
        31,
        "ClientIP",
        None,
    ),
    (
        "[{port: 80, targetPort: http}]",
        "[{port: 80}]\n  sessionAffinity: ClientIp",
        "invalid-value",
        31,
        "ClientIp",
        "did you mean `ClientIP`?",
    ),
    ("  selector: {app: web}\n  ports", "  ports", "missing-field", 29, "spec.selector", None),
    ("---", "--- &a\n? [x]\n: 1\n---", "wrong-type", 23, "a key", None),
    ("replicas: 3", "<<: {a: 1}", "unsupported-field", 6, "spec.<<", "write the fields out"),
    ("replicas: 3", "replicas: !!python/name:os.system x", "invalid-yaml", 6, "tag", None),
    ("replicas: 3", "replicas: [", "invalid-yaml", 8, "began on line 6", "indentation"),
    ("replicas: 3", "\treplicas: 3", "invalid-yaml", 6, "a tab", "spaces"),
    (
        "  replicas: 3",
        " replicas: 3\n  paused: true",
        "invalid-yaml",
        7,
        "a `key: value` cannot stand here",
        "indentation of this line",
    ),
    ("  template:", " template:", "invalid-yaml", 9, "indented by 1, which fits no line above", "same"),
    ("  selector: {app: web}", "  - x", "invalid-yaml", 30, "a field and a list item side by side", "indent the one"),
]


@pytest.mark.parametrize(("old", "new", "code", "line", "message", "hint"), REFUSED)
def test_refused_by_name_with_its_line(
    old: str, new: str, code: str, line: int, message: str, hint: str | None
) -> None:
    text = GOOD.replace(old, new, 1)
    assert text != GOOD
    with pytest.raises(ManifestError) as caught:
        load_manifests(text, "web.yaml")
    error = caught.value
    assert (error.code, error.subject) == (code, f"web.yaml:{line}"), error
    assert message in error.message
    assert hint is None or hint in (error.hint or "")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "empty-manifest"),
        ("# only a comment\n---\n", "empty-manifest"),
        ("just words", "wrong-type"),
        ("- a\n- b", "wrong-type"),
        ("{}", "missing-field"),
        ("kind: List\napiVersion: v1\nitems: 3", "wrong-type"),
        ("kind: List\napiVersion: v1\nitem: []", "unknown-field"),
        ("kind: List\napiVersion: v1\nitems: []", "empty-manifest"),
        ("\x00", "invalid-yaml"),
        ("a: " + "[" * 5000, "invalid-yaml"),
        (
            "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n"
            + "".join(
                f"d{n}: &d{n} [*{'c' if n == 0 else f'd{n - 1}'}, *{'c' if n == 0 else f'd{n - 1}'}]\n"
                for n in range(20)
            ),
            "invalid-yaml",
        ),
        ("a: &a [*a]", "invalid-yaml"),
    ],
)
def test_not_a_manifest_at_all(text: str, code: str) -> None:
    with pytest.raises(ManifestError) as caught:
        load_manifests(text, "web.yaml")
    assert caught.value.code == code
    assert caught.value.subject.startswith("web.yaml")


def test_the_same_object_twice_is_refused() -> None:
    with pytest.raises(ManifestError, match=r"already at web\.yaml:1") as caught:
        load_manifests(GOOD + "---\n" + GOOD, "web.yaml")
    assert caught.value.code == "duplicate-object"


def test_values_and_defaults() -> None:
    deployment, service = (document.object for document in load_manifests(GOOD))
    assert isinstance(deployment, Deployment)
    assert (deployment.namespace, deployment.name, deployment.replicas) == ("default", "web", 3)
    assert (deployment.max_surge, deployment.max_unavailable, deployment.progress_deadline) == ("25%", "25%", 600)
    assert (deployment.min_ready_seconds, deployment.revision_history_limit) == (0, 10)
    container = deployment.template.container
    probe = container.readiness
    assert probe is not None
    assert (probe.path, container.port_number(probe.port), probe.period, probe.timeout) == ("/ready", 8080, 10, 1)
    assert (probe.success_threshold, probe.failure_threshold, probe.initial_delay) == (1, 3, 0)
    assert (container.command, container.args, container.env) == (None, None, (("A", "1"),))
    assert deployment.template.grace_period == 30
    assert isinstance(service, Service)
    assert service.hosts == ("web.localhost", "www.example.org")
    assert (service.routed_port.port, service.routed_port.target) == (80, "http")


def test_the_port_named_http_is_routed() -> None:
    text = GOOD.replace("[{port: 80, targetPort: http}]", "[{port: 9, name: admin}, {port: 80, name: http}]")
    service = load_manifests(text)[1].object
    assert isinstance(service, Service)
    assert service.routed_port.port == 80


def test_what_generators_leave_behind_says_nothing() -> None:
    """`kubectl create deployment --dry-run=client -o yaml` writes these."""
    text = GOOD.replace("name: web\nspec", "name: web\n  creationTimestamp: null\nspec")
    text = text.replace("  replicas: 3", "  replicas: 3\n  strategy: {}").replace("---", "status: {}\n---")
    text = text.replace("          env:", "          resources: {}\n          env:")
    assert load_manifests(text)[0].object == load_manifests(GOOD)[0].object


def test_a_list_is_taken_apart() -> None:
    first, second = GOOD.split("---\n")
    items = "".join("- " + part.replace("\n", "\n  ").rstrip() + "\n" for part in (first, second))
    listed = load_manifests("apiVersion: v1\nkind: List\nmetadata: {}\nitems:\n" + items)
    assert [item.object for item in listed] == [item.object for item in load_manifests(GOOD)]


def test_flow_style_with_trailing_commas() -> None:
    """KYAML, as newer Kubernetes documentation is written."""
    text = """{apiVersion: "v1", kind: "Service", metadata: {name: "web",},
      spec: {selector: {app: "web",}, ports: [{port: 80,},],},}"""
    assert load_manifests(text)[0].name == "web"


def test_data_reads_back_as_the_same_object() -> None:
    for document in load_manifests(GOOD):
        assert reload(document.data) == document.object
        assert load_manifests(dump([document.data]))[0].object == document.object


def test_the_template_hash_is_of_what_was_said_not_how() -> None:
    def name(text: str) -> str:
        deployment = load_manifests(text)[0].object
        assert isinstance(deployment, Deployment)
        return template_hash(deployment.template)

    spelled_out = GOOD.replace("port: http}\n---", "port: http}\n            periodSeconds: 10\n---")
    assert name(GOOD) == name(spelled_out) == name(GOOD.replace("replicas: 3", "replicas: 5"))
    assert name(GOOD) != name(GOOD.replace('value: "1"', 'value: "2"'))
    assert set(name(GOOD)) <= set("bcdfghjklmnpqrstvwxz2456789")


def test_the_template_hash_stays_as_it_was() -> None:
    """Stored names: another hash for the same template would roll every replica out anew."""
    deployment = load_manifests(manifest("web:1"))[0].object
    assert isinstance(deployment, Deployment)
    assert template_hash(deployment.template) == "798cdf88c"


JOB = """\
apiVersion: batch/v1
kind: Job
metadata: {name: migrate}
spec:
  backoffLimit: 0
  activeDeadlineSeconds: 60
  completions: 1
  template:
    spec:
      restartPolicy: Never
      containers:
        - name: migrate
          image: registry:5000/web@sha256:0123
          command: [python, manage.py, migrate]
"""


@pytest.mark.parametrize(
    ("old", "new", "code", "line", "message"),
    [
        ("restartPolicy: Never", "restartPolicy: Always", "invalid-value", 10, "Always"),
        ("      restartPolicy: Never\n", "", "missing-field", 10, "restartPolicy is missing"),
        ("completions: 1", "podFailurePolicy: {rules: []}", "invalid-value", 7, "spec.podFailurePolicy"),
        ("completions: 1", "replicas: 1", "unknown-field", 7, "spec.replicas"),
        ("activeDeadlineSeconds: 60", "activeDeadlineSeconds: 0", "invalid-value", 6, "expected 1 to"),
        ("backoffLimit: 0", "backoffLimit: -1", "invalid-value", 5, "backoffLimit is -1"),
        ("          command", "          readinessProbe: {httpGet: {}}\n          command", "missing-field",
         14, "readinessProbe.httpGet.port"),
        ("apiVersion: batch/v1", "apiVersion: v1", "unsupported-version", 1, "expected batch/v1 for Job"),
    ],
)  # fmt: skip
def test_a_job_is_refused_by_name_with_its_line(old: str, new: str, code: str, line: int, message: str) -> None:
    text = JOB.replace(old, new, 1)
    assert text != JOB
    with pytest.raises(ManifestError) as caught:
        load_manifests(text, "job.yaml")
    assert (caught.value.code, caught.value.subject) == (code, f"job.yaml:{line}"), caught.value
    assert message in caught.value.message


def test_a_job_and_its_defaults() -> None:
    job = load_manifests(JOB)[0].object
    assert isinstance(job, Job)
    assert (job.name, job.namespace, job.backoff_limit, job.active_deadline, job.ttl) == (
        "migrate", "default", 0, 60, None
    )  # fmt: skip
    assert job.template.container.command == ("python", "manage.py", "migrate")
    assert reload(load_manifests(JOB)[0].data) == job
    text = JOB.replace("  backoffLimit: 0\n  activeDeadlineSeconds: 60\n", "  ttlSecondsAfterFinished: 0\n")
    plain = load_manifests(text)[0].object
    assert isinstance(plain, Job)
    assert (plain.backoff_limit, plain.active_deadline, plain.ttl) == (6, None, 0)


PLACED = """
apiVersion: v1
kind: Pod
metadata: {name: a%s}
spec: {%scontainers: [{name: a, image: "a:1"}]}
"""


def test_a_namespace_is_given_to_those_that_name_none() -> None:
    (document,) = load_manifests(PLACED % ("", ""), "a.yaml", "shop")
    assert (document.namespace, document.object.namespace) == ("shop", "shop")
    assert document.data["metadata"] == {"name": "a", "namespace": "shop"}
    (document,) = load_manifests(PLACED % (", namespace: shop", ""), "a.yaml", "shop")
    assert document.namespace == "shop"
    (document,) = load_manifests("apiVersion: v1\nkind: Namespace\nmetadata: {name: own}\n", "a.yaml", "shop")
    assert (document.namespace, document.name) == ("", "own")
    listed = "apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}]"
    assert [item.namespace for item in load_manifests(listed, "a.yaml", "shop")] == ["shop"]
    with pytest.raises(ManifestError) as refused:
        load_manifests(PLACED % (", namespace: other", ""), "a.yaml", "shop")
    assert (refused.value.code, refused.value.subject) == ("namespace-mismatch", "a.yaml:4")
    assert refused.value.message == 'metadata.namespace is the string "other", and the command names shop'
    for namespace in ("Shop", "-"):
        with pytest.raises(ManifestError) as refused:
            load_manifests(PLACED % ("", ""), "a.yaml", namespace)
        assert refused.value.code == "invalid-value"
    with pytest.raises(ManifestError, match="metadata"):
        load_manifests("apiVersion: v1\nkind: Pod\nmetadata: [a]\nspec: {}\n", "a.yaml", "shop")


def test_placement_is_read_and_kept_apart() -> None:
    plain, same, other = (
        load_manifests(PLACED % ("", said))[0].object.template  # type: ignore[union-attr]
        for said in ("", "schedulerName: default-scheduler, tolerations: [], ", "tolerations: [{operator: Exists}], ")
    )
    assert plain == same
    assert template_hash(plain) == template_hash(same) != template_hash(other)
    assert other.placement == {"tolerations": [{"operator": "Exists"}]}
    for said, code in (
        ("tolerations: [{operator: Maybe}], ", "invalid-value"),
        ("affinity: {nodeAffinity: {required: []}}, ", "unknown-field"),
        ("topologySpreadConstraints: [{maxSkew: 1}], ", "missing-field"),
    ):
        with pytest.raises(ManifestError) as refused:
            load_manifests(PLACED % ("", said))
        assert refused.value.code == code


def test_who_is_told_its_address_has_a_network_before_it() -> None:
    told = "env: [{name: A, valueFrom: {fieldRef: {fieldPath: status.podIP}}}]"
    plain, asks = (
        load_manifests((PLACED % ("", "")).replace('image: "a:1"', f'image: "a:1", {said}'))[0].object.template  # type: ignore[union-attr]
        for said in ("env: []", told)
    )
    assert (plain.is_group, asks.is_group, asks.tells_address) == (False, True, True)
    job = load_manifests(f"""
apiVersion: batch/v1
kind: Job
metadata: {{name: a}}
spec: {{template: {{spec: {{restartPolicy: Never, containers: [{{name: a, image: "a:1", {told}}}]}}}}}}
""")[0].object
    assert isinstance(job, Job)
    assert job.template.is_group


def test_a_pod_of_a_job_is_a_pod_like_others() -> None:
    """Whatever a Pod may say but its restartPolicy."""
    job_spec, pod_spec = JOB_SPEC.fields["template"], POD.fields["spec"]
    assert isinstance(job_spec, Object)
    assert isinstance(of_job := job_spec.fields["spec"], Object)
    assert isinstance(pod_spec, Object)
    assert of_job.fields.keys() == pod_spec.fields.keys()
    text = """
apiVersion: batch/v1
kind: Job
metadata: {name: a}
spec:
  template:
    spec:
      restartPolicy: OnFailure
      subdomain: workers
      nodeSelector: {disk: fast}
      initContainers: [{name: first, image: a}, {name: side, image: a, restartPolicy: Always}]
      containers:
        - {name: a, image: a, startupProbe: {tcpSocket: {port: 1}}, lifecycle: {preStop: {sleep: {seconds: 1}}}}
        - {name: b, image: b, livenessProbe: {exec: {command: [a]}}, readinessProbe: {httpGet: {port: 1}}}
"""
    job = load_manifests(text)[0].object
    assert isinstance(job, Job)
    assert [spec.name for spec in job.template.all_containers] == ["a", "b", "first", "side"]
    assert (job.template.subdomain, job.template.node_selector) == ("workers", {"disk": "fast"})
    with pytest.raises(ManifestError) as refused:
        load_manifests(text.replace("image: b, livenessProbe", "image: b, nothing: 1, livenessProbe"))
    assert refused.value.code == "unknown-field"


def test_what_a_cluster_wrote_into_an_object_is_left_out() -> None:
    exported = """\
apiVersion: v1
kind: Service
metadata:
  name: a
  creationTimestamp: "2026-01-01T00:00:00Z"
  generation: 3
  selfLink: /api/v1/namespaces/default/services/a
  uid: 6f1c
spec: {selector: {uid: kept, status: kept}, ports: [{port: 80}]}
status: {loadBalancer: {ingress: [{ip: 192.0.2.1}]}}
"""
    [document] = load_manifests(exported)
    assert document.data["metadata"] == {"name": "a", "namespace": "default"}
    assert document.data["spec"] == {"selector": {"uid": "kept", "status": "kept"}, "ports": [{"port": 80}]}
    assert "status" not in document.data
    for field in ('resourceVersion: "7"', "managedFields: [{manager: kubectl}]"):
        with pytest.raises(ManifestError, match=f"metadata.{field.partition(':')[0]} is a field of Kubernetes"):
            load_manifests(exported.replace("uid: 6f1c", field))
    with pytest.raises(ManifestError, match="status is not a field of Kubernetes"):
        load_manifests("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\nstatus: {phase: Active}\n")
