"""What a cluster itself writes into an object, and leaves out where somebody else says it: exported manifests have it.

After the strategies of Kubernetes' registries (PrepareForCreate, PrepareForUpdate) and FillObjectMetaSystemFields.
`resourceVersion` and `managedFields` are not among them: a cluster refuses them in what is to be created.
"""

from __future__ import annotations

from runtime.manifest.tree import Node

OF_OBJECTS = ("status",)
OF_METADATA = ("creationTimestamp", "generation", "selfLink", "uid")


def drop_exported(node: Node) -> None:
    """Take it out of an object's tree."""
    if not isinstance(node.value, dict):
        return
    for name in OF_OBJECTS:
        node.value.pop(name, None)
    metadata = node.value.get("metadata")
    if metadata is not None and isinstance(metadata.node.value, dict):
        for name in OF_METADATA:
            metadata.node.value.pop(name, None)
