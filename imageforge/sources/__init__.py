"""Where a build context comes from: an archive that was uploaded, a folder, a git repository."""

from imageforge.sources.archive import Limits, Packed, Unpacked, pack, unpack
from imageforge.sources.dockerignore import Ignore
from imageforge.sources.errors import SourceFailed, SourceRefused
from imageforge.sources.git import Checkout, checkout, ls_remote
from imageforge.sources.git_environment import GitCredentials
from imageforge.sources.git_url import GitPolicy, GitUrl, check_host, check_place, parse_git_url
from imageforge.sources.tree import tree_digest

__all__ = [
    "Checkout",
    "GitCredentials",
    "GitPolicy",
    "GitUrl",
    "Ignore",
    "Limits",
    "Packed",
    "SourceFailed",
    "SourceRefused",
    "Unpacked",
    "check_host",
    "check_place",
    "checkout",
    "ls_remote",
    "pack",
    "parse_git_url",
    "tree_digest",
    "unpack",
]
