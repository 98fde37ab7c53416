"""Why a field of Kubernetes is not here, and what there is instead: the hints of refusals."""

from __future__ import annotations

from runtime.manifest.schema import words

_NO_SERVER = "there is no API server here, so no account, token or certificate of one"
_OTHER_STORAGE = "it names storage of a cluster or a cloud; take a persistentVolumeClaim, an emptyDir or a hostPath"
_OTHER_SYSTEM = "it is for nodes with another system; here all is Linux"
_SHARED = (
    "no container shares the machine's own; a Service or a hostPort leads in, shareProcessNamespace is for its own"
)

_NO_USERS = "Docker maps the users of all containers of an engine (userns-remap), and not of one alone"

_STORAGE = words(
    "awsElasticBlockStore azureDisk azureFile cephfs cinder csi ephemeral fc flexVolume flocker gcePersistentDisk "
    "glusterfs iscsi nfs photonPersistentDisk portworxVolume quobyte rbd scaleIO storageos vsphereVolume"
)

HINTS: dict[str, str] = {
    "serviceAccountToken": _NO_SERVER,
    "clusterTrustBundle": _NO_SERVER,
    "podCertificate": _NO_SERVER,
    "windowsOptions": _OTHER_SYSTEM,
    "hostNetwork": _SHARED,
    "hostPID": _SHARED,
    "hostIPC": _SHARED,
    "hostUsers": _NO_USERS,
    "cgroupOptions": "Docker shows every container its control groups for reading only",
    **dict.fromkeys(_STORAGE, _OTHER_STORAGE),
    "resource": "a backend is a Service here",
    "externalName": "let the program ask for the other name itself",
    "externalIPs": "a NodePort or an Ingress leads in; which addresses this machine has is not for a manifest to say",
    "loadBalancerIP": "take it out: there is one address, that of the entry",
    "loadBalancerClass": "take it out: there is one balancer",
    "hostIP": "take it out: it is the address of the entry",
    "ephemeralContainers": "imageforge exec runs a command in a container that is there",
}
"""By the field's name."""
DEFAULT_HINT = "remove it, or keep it in a manifest for the cluster alone"
DEVICE_HINT = "devices and other resources of a cluster's own are not handed out here"
