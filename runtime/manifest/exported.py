"""What a cluster itself writes into an object, and leaves out where somebody else says it: exported manifests have it.

After the strategies of Kubernetes' registries (PrepareForCreate, PrepareForUpdate) and FillObjectMetaSystemFields.
`resourceVersion` and `managedFields` are not among them: a cluster refuses them in what is to be created.
"""

from __future__ import annotations

from runtime.manifest.tree import Node

WITHOUT_STATUS = frozenset({"ConfigMap", "Secret"})
OF_METADATA = ("creationTimestamp", "generation", "selfLink", "uid")


def drop_exported(node: Node, kind: str) -> None:
    """Take it out of the tree of an object of that kind."""
    if not isinstance(node.value, dict):
        return
    if kind not in WITHOUT_STATUS:
        node.value.pop("status", None)
    metadata = node.value.get("metadata")
    if metadata is not None and isinstance(metadata.node.value, dict):
        for name in OF_METADATA:
            metadata.node.value.pop(name, None)
