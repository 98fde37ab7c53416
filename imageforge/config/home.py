"""Where an instance keeps what it knows: one folder, `$IMAGEFORGE_HOME`."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from imageforge.errors import StackError

ROOT_HOME = Path("/var/lib/imageforge")
OWN_NAMES = frozenset({"instance", "run", "log", "state", "settings.toml", "lost+found"})
"""What may lie in a home; the last is a file system's own, where the home is a mount point."""

# Linux allows 108 bytes for the path of a Unix socket; the longest of ours below a home is run/haproxy-master.sock,
# to which HAProxy adds a suffix of up to 13 bytes while it binds.
LONGEST_HOME = 108 - len("/run/haproxy-master.sock") - 14


@dataclass(frozen=True, slots=True)
class Home:
    """The layout of a home. Paths only; `prepare` makes the folders and the instance's name."""

    path: Path

    @classmethod
    def locate(cls, environ: Mapping[str, str] = os.environ) -> Home:
        """`$IMAGEFORGE_HOME`, else /var/lib/imageforge as root, else the user's own data folder."""
        named = environ.get("IMAGEFORGE_HOME")
        if named:
            return cls(Path(named).expanduser().absolute())
        if os.geteuid() == 0:
            return cls(ROOT_HOME)
        data = environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
        return cls(Path(data) / "imageforge")

    def prepare(self) -> None:
        """Make the folders (0700: the sockets in them are a way to the engine) and name the instance, once."""
        if len(str(self.path)) > LONGEST_HOME:
            raise StackError(
                "home-path-too-long",
                str(self.path),
                f"{len(str(self.path))} characters, expected at most {LONGEST_HOME} (Unix sockets are kept below it)",
                hint="set IMAGEFORGE_HOME to a shorter path",
            )
        try:
            self._refuse_foreign_folder()
            for folder in (
                self.path,
                self.run,
                self.log,
                self.state,
                self.layouts,
                self.blobs,
                self.scratch,
                self.locks,
            ):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self.exists:
                draft = self.path / f".instance.{os.getpid()}"
                draft.write_text(secrets.token_hex(4) + "\n")
                draft.replace(self._instance_file)
        except OSError as error:
            raise StackError(
                "home-not-writable",
                str(self.path),
                f"{error.strerror}: {error.filename}",
                hint="run as the user who owns it, or set IMAGEFORGE_HOME",
            ) from error

    def adopt(self, instance: str) -> None:
        """Be the home of an instance that there was before: its containers and images are known by that name."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StackError("home-not-writable", str(self.path), str(error.strerror), hint="run as root") from error
        self._refuse_foreign_folder()
        self._instance_file.write_text(instance + "\n")

    @property
    def instance(self) -> str:
        """The name on every container, network and image of this home; eight hexadecimal digits."""
        return self._instance_file.read_text().strip()

    @property
    def exists(self) -> bool:
        """Whether `prepare` ever ran here."""
        try:
            return re.fullmatch(r"[0-9a-f]{8}", self.instance) is not None
        except OSError:
            return False

    def _refuse_foreign_folder(self) -> None:
        """A folder that somebody else filled is no home: `down --purge` is to remove a home whole."""
        foreign = [] if self.exists or not self.path.is_dir() else [entry.name for entry in self.path.iterdir()]
        if set(foreign) - OWN_NAMES:
            raise StackError(
                "home-not-empty",
                str(self.path),
                f"the folder holds {sorted(set(foreign) - OWN_NAMES)[0]} and is no home of imageforge's",
                hint="set IMAGEFORGE_HOME to a folder of its own",
                kept="nothing was changed",
            )

    @property
    def _instance_file(self) -> Path:
        return self.path / "instance"

    @property
    def run(self) -> Path:
        """Sockets and pid files: nothing in it is needed after a reboot."""
        return self.path / "run"

    @property
    def log(self) -> Path:
        """One log a service."""
        return self.path / "log"

    @property
    def state(self) -> Path:
        """What must survive: databases, the registry's blobs, the private engine's data."""
        return self.path / "state"

    @property
    def settings_file(self) -> Path:
        """The settings of this home, all optional."""
        return self.path / "settings.toml"

    @property
    def store(self) -> Path:
        """Builds, events, apps and releases."""
        return self.state / "store.sqlite"

    @property
    def layouts(self) -> Path:
        """OCI layout directories, one a build."""
        return self.state / "layouts"

    @property
    def blobs(self) -> Path:
        """Compressed layers by digest, shared by the layouts through hard links."""
        return self.state / "blobs"

    @property
    def opinions(self) -> Path:
        """What hadolint said of Dockerfiles, so that it is not asked twice; worth nothing but time."""
        return self.state / "opinions"

    @property
    def trials(self) -> Path:
        """What trials of images came to, so that none is made twice; worth nothing but time."""
        return self.state / "trials"

    @property
    def scratch(self) -> Path:
        """Temporary files of builds, on the same file system as the blobs so that a finished one can be renamed."""
        return self.state / "scratch"

    @property
    def uploads(self) -> Path:
        """Interrupted uploads to registries, which the next push goes on with; worth nothing but time."""
        return self.state / "uploads"

    @property
    def shipped(self) -> Path:
        """What each app's last pushes were made of; worth nothing but bytes of the next ones."""
        return self.state / "shipped"

    @property
    def contexts(self) -> Path:
        """Uploaded build contexts, by digest."""
        return self.state / "contexts"

    @property
    def repositories(self) -> Path:
        """Bare repositories, one an app that was pushed to."""
        return self.state / "git"

    @property
    def key_file(self) -> Path:
        """What opens the secrets in the store. Not in a backup unless asked for."""
        return self.path / "state" / "key"

    @property
    def entry_key_file(self) -> Path:
        """What the balancer says to the API, so that it is believed where a request came from."""
        return self.state / "entry.key"

    @property
    def acme(self) -> Path:
        """The ACME account, the orders under way and the certificates that were got."""
        return self.state / "acme"

    @property
    def acme_certificates(self) -> Path:
        """The certificates alone, one a name."""
        return self.acme / "certificates"

    @property
    def registry_signer(self) -> Path:
        """Key and certificate by which the registry believes the API's tokens."""
        return self.state / "registry-signer"

    @property
    def registry_read_only(self) -> Path:
        """The process for whose sake the registry takes no pushes; absent, it takes them."""
        return self.run / "registry.read-only"

    @property
    def runtime_store(self) -> Path:
        """What should be running: the controller's own database."""
        return self.state / "runtime.sqlite"

    @property
    def key_files(self) -> Mapping[str, Path]:
        """What opens secrets, by the names under which a backup has them."""
        return {"store": self.key_file}

    @property
    def locks(self) -> Path:
        """One lock file an app."""
        return self.state / "locks"

    @property
    def engine_socket(self) -> Path:
        """The private engine's API."""
        return self.run / "docker.sock"

    @property
    def controller_socket(self) -> Path:
        """The controller's API, mode 0600."""
        return self.run / "controller.sock"

    @property
    def balancer_socket(self) -> Path:
        """HAProxy's runtime API."""
        return self.run / "haproxy.sock"

    @property
    def balancer_master_socket(self) -> Path:
        """HAProxy's master process: reloads."""
        return self.run / "haproxy-master.sock"

    @property
    def hooks_socket(self) -> Path:
        """Who runs the hooks of the git remote, mode 0600."""
        return self.run / "hooks.sock"

    @property
    def redis_socket(self) -> Path:
        """The queue's Redis; a Unix socket, because a port on loopback is open to every user of the machine."""
        return self.run / "redis.sock"
