"""The settings of a home. Every option is in settings.reference.toml beside this file, with its reason."""

from __future__ import annotations

import ipaddress
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from imageforge.config.domain import is_local, parse_domain
from imageforge.config.validation import first_problem
from imageforge.errors import ConfigError

REFERENCE = Path(__file__).with_name("settings.reference.toml")
PREFIX = "IMAGEFORGE_"
# Variables of ours that are not settings of a home.
NOT_SETTINGS = frozenset({"IMAGEFORGE_HOME", "IMAGEFORGE_CONTEXT", "IMAGEFORGE_TEST_INSIDE"})

Port = Annotated[int, Field(ge=1, le=65535)]


class Settings(BaseModel):
    """Options of one home; the reference file documents each."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    http_address: str = "127.0.0.1"
    http_port: Port = 8700
    host_suffix: str = "localhost"
    registry_port: Port = 8705
    engine: Literal["auto", "private"] = "auto"
    secret_files: str = "/dev/shm"  # noqa: S105, S108 - files there are ours alone, which is made sure of before each use
    allow_privileged: bool = False
    restricted: bool = False
    node_labels: dict[str, str] = {}
    seccomp_profiles: str = ""
    apparmor_profiles: tuple[str, ...] = ()
    engine_pool: str = "10.211.0.0/16"
    api_port: Port = 8701
    workers: Annotated[int, Field(ge=1, le=64)] = 2
    build_timeout: Annotated[int, Field(ge=1, le=86400)] = 3600
    build_free_memory: Annotated[int, Field(ge=0)] = 512
    build_free_disk: Annotated[int, Field(ge=0)] = 1024
    build_memory: Annotated[int, Field(ge=0)] = 0
    build_cpus: Annotated[float, Field(ge=0)] = 0.0
    trials: Literal["required", "beside"] = "required"
    trial_seconds: Annotated[int, Field(ge=5, le=600)] = 20
    compression: Literal["fast", "balanced", "small", "zstd"] = "balanced"
    context_limit: Annotated[int, Field(ge=1)] = 2048
    git_http: bool = False
    git_networks: tuple[str, ...] = ()
    hook_http: bool = False
    hook_networks: tuple[str, ...] = ()
    github_api: str = "https://api.github.com"
    deploy_deadline: Annotated[int, Field(ge=1, le=86400)] = 120
    release_deadline: Annotated[int, Field(ge=1, le=86400)] = 600
    keep_builds: Annotated[int, Field(ge=1)] = 200
    keep_releases: Annotated[int, Field(ge=1)] = 50
    keep_contexts: Annotated[int, Field(ge=0)] = 4096
    host_paths: tuple[str, ...] = ()
    public_host: str = ""
    certificates: str = ""
    acme: bool = False
    acme_directory: str = "https://acme-v02.api.letsencrypt.org/directory"
    acme_contact: str = ""
    acme_ca_file: str = ""
    https_port: Port = 443
    public_http_port: Port = 80
    public_registry_port: Port = 8706
    # The last one: what it needs is looked for in those before it.
    public_address: str = ""

    @field_validator("http_address")
    @classmethod
    def _loopback_only(cls, value: str) -> str:
        if not ipaddress.ip_address(value).is_loopback:
            raise ValueError(
                "an address that others can reach needs TLS and a token: it is set as public_address, with certificates"
            )
        return value

    @field_validator("public_host")
    @classmethod
    def _name(cls, value: str) -> str:
        return parse_domain(value) if value else value

    @field_validator("certificates", "acme_ca_file", "seccomp_profiles")
    @classmethod
    def _absolute(cls, value: str) -> str:
        if value and not Path(value).is_absolute():
            raise ValueError("expected an absolute path: the daemons work in other folders than you do")
        return value

    @field_validator("acme_directory")
    @classmethod
    def _https(cls, value: str) -> str:
        if not value.startswith("https://"):
            raise ValueError("expected an https address (RFC 8555, 6.1)")
        return value

    @field_validator("acme_contact")
    @classmethod
    def _mail(cls, value: str) -> str:
        if value and not re.fullmatch(r"[^@\s,?:]+@[^@\s,?:]+", value):
            raise ValueError("expected an e-mail address")
        return value

    @field_validator("public_address")
    @classmethod
    def _with_certificates(cls, value: str, info: ValidationInfo) -> str:
        """An address that others can reach is served by TLS or not at all."""
        if not value:
            return value
        ipaddress.ip_address(value)
        data = info.data
        if not data.get("certificates") and not data.get("acme"):
            raise PydanticCustomError(
                "public-without-certificates",
                "an address that others can reach needs certificates",
                {"hint": 'set certificates = "/FOLDER/OF/PEM/FILES", or acme = true'},
            )
        if not data.get("public_host"):
            raise PydanticCustomError(
                "public-without-host",
                "an address that others can reach needs the service's host name",
                {"hint": 'set public_host = "forge.example.org", a name that leads to this machine'},
            )
        ports = [data.get(name) for name in ("http_port", "https_port", "public_http_port")]
        ports += [data.get(name) for name in ("api_port", "registry_port", "public_registry_port")]
        if len(set(ports)) < len(ports):
            raise PydanticCustomError(
                "ports-clash",
                "two of the ports are the same",
                {"hint": "give http_port, https_port, public_http_port and those of API and registries one each"},
            )
        return value

    @field_validator("git_networks", "hook_networks", mode="before")
    @classmethod
    def _networks(cls, value: object) -> object:
        words = value.replace(",", " ").split() if isinstance(value, str) else value
        for word in words if isinstance(words, list | tuple) else ():
            ipaddress.ip_network(word)
        return words

    @field_validator("host_paths", mode="before")
    @classmethod
    def _places(cls, value: object) -> object:
        paths = value.replace(",", " ").split() if isinstance(value, str) else value
        for path in paths if isinstance(paths, list | tuple) else ():
            if not str(path).startswith("/"):
                raise ValueError("expected absolute paths")
        return paths

    @field_validator("apparmor_profiles", mode="before")
    @classmethod
    def _names(cls, value: object) -> object:
        """As an environment variable: ``audit, web``."""
        return value.replace(",", " ").split() if isinstance(value, str) else value

    @field_validator("node_labels", mode="before")
    @classmethod
    def _pairs(cls, value: object) -> object:
        """As an environment variable: ``disk=ssd, zone=a``."""
        if not isinstance(value, str):
            return value
        pairs = [pair.partition("=") for pair in value.replace(",", " ").split()]
        if not all(sign for _, sign, _ in pairs):
            raise ValueError("expected labels as in disk=ssd, zone=a")
        return {key: said for key, _, said in pairs}

    @field_validator("github_api")
    @classmethod
    def _secure(cls, value: str) -> str:
        parts = urlsplit(value)
        loopback = parts.hostname in ("127.0.0.1", "::1", "localhost")
        if not parts.hostname or parts.scheme not in ("http", "https") or (parts.scheme == "http" and not loopback):
            raise ValueError("expected https://…: a token is sent there")
        return value.rstrip("/")

    @field_validator("secret_files")
    @classmethod
    def _folder(cls, value: str) -> str:
        if not value.startswith("/"):
            raise ValueError("expected an absolute path, of a folder in memory")
        return value

    @field_validator("engine_pool")
    @classmethod
    def _room_for_networks(cls, value: str) -> str:
        if ipaddress.IPv4Network(value).prefixlen > 20:
            raise ValueError("expected a network of /20 or larger: each namespace takes a /23")
        return value

    @property
    def registry(self) -> str:
        """Address and port of the local registry, as it stands at the head of an image reference."""
        return f"127.0.0.1:{self.registry_port}"

    @property
    def api_url(self) -> str:
        """Where the API answers."""
        return f"http://127.0.0.1:{self.api_port}"

    @property
    def public(self) -> bool:
        """Whether others than this machine are served."""
        return bool(self.public_address)

    @property
    def service_url(self) -> str:
        """Where others reach the API; where they cannot, where this machine does."""
        return self._https_url(self.public_host) if self.public else self.api_url

    def url(self, host: str) -> str:
        """Where an application with this host name is reached."""
        if self.public and not is_local(host):
            return self._https_url(host)
        return f"http://{host}" if self.http_port == 80 else f"http://{host}:{self.http_port}"

    def _https_url(self, host: str) -> str:
        return f"https://{host}" if self.https_port == 443 else f"https://{host}:{self.https_port}"


def load_settings(file: Path, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read a home's settings: the file where there is one, then the environment over it.

    Raises ConfigError (`settings-invalid`) naming file or variable, key and what was expected.
    """
    values: dict[str, Any] = {}
    try:
        values = tomllib.loads(file.read_text())
    except FileNotFoundError:
        pass
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError("settings-invalid", str(file), f"not TOML: {error}", hint="mend the line") from error
    except OSError as error:
        raise ConfigError("settings-invalid", str(file), str(error.strerror), hint="run as the home's owner") from error
    known = Settings.model_fields
    origin = dict.fromkeys(values, str(file))
    for name, text in environ.items():
        key = name.removeprefix(PREFIX).lower()
        if name.startswith(PREFIX) and name not in NOT_SETTINGS:
            values[key] = text
            origin[key] = f"environment variable {name}"
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        problem = first_problem(error, known=tuple(known))
        where = origin.get(problem.path, str(file))
        code = problem.code or "settings-invalid"
        raise ConfigError(code, f"{where}: {problem.path}", problem.message, hint=problem.hint) from error
