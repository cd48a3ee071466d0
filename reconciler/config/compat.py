"""
Sections of the old agent that are no business of this service.

They are checked by the old rules, since a file that was wrong before should not pass now,
and then ignored; only `observability.logging.level` has an effect. The keys are those of
GitLab 13.7 to 16.11, so that every file that was valid in one of these releases is
accepted. parse.py imports this module only for a file that has such a section.
"""

from collections.abc import Mapping
from typing import Annotated, Any, cast

from pydantic import Field, ValidationError, model_validator

from reconciler.config import fields
from reconciler.config.explain import Finding, findings
from reconciler.config.keys import ONE_KEY, Keys, exactly_one
from reconciler.config.models import LogLevel

LOG_LEVELS = ("info", "debug", "warn", "error")  # in the order of their protobuf numbers
Level = Annotated[str, fields.choice(LOG_LEVELS, numbered=True)]

_MAX_AUTHORIZED = 100  # projects and groups each; 500 from 17.0 on


class Nothing(Keys):
    """A mapping without keys: `{}`."""


class Logging(Keys):
    level: Level = Field(default="info", description="How much the service logs.")
    grpc_level: Level = Field(default="error", description="Ignored.")


class GoogleProfiler(Keys):
    enabled: fields.Flag = False
    project_id: fields.Text = ""
    credentials_file: fields.Text = ""
    debug_logging: fields.Flag = False


class Observability(Keys):
    logging: Logging = Field(default=Logging())
    google_profiler: GoogleProfiler | None = None


class ImpersonateExtra(Keys):
    key: fields.SomeText
    val: list[fields.SomeText]

    @model_validator(mode="after")
    def _some(self) -> "ImpersonateExtra":
        if not self.val:
            raise fields.rule("val must contain at least 1 item(s)", "add a value or remove the entry")
        return self


class Impersonate(Keys):
    username: fields.SomeText
    groups: list[fields.SomeText] = Field(default=[])
    uid: fields.Text = ""
    extra: list[ImpersonateExtra] = Field(default=[])


class CiAccessAs(Keys):
    model_config = ONE_KEY

    agent: Nothing | None = None
    impersonate: Impersonate | None = None
    ci_job: Nothing | None = None

    @model_validator(mode="after")
    def _one_of(self) -> "CiAccessAs":
        exactly_one(self, ("agent", "impersonate", "ci_job"))
        return self


class CiAccessEntry(Keys):
    id: fields.SomeText
    default_namespace: fields.Text = ""
    access_as: CiAccessAs | None = None
    environments: list[fields.SomeText] = Field(default=[])


class CiAccess(Keys):
    projects: list[CiAccessEntry] = Field(default=[], max_length=_MAX_AUTHORIZED)
    groups: list[CiAccessEntry] = Field(default=[], max_length=_MAX_AUTHORIZED)


class UserAccessAs(Keys):
    model_config = ONE_KEY

    agent: Nothing | None = None
    user: Nothing | None = None

    @model_validator(mode="after")
    def _one_of(self) -> "UserAccessAs":
        exactly_one(self, ("agent", "user"))
        return self


class UserAccessEntry(Keys):
    id: fields.SomeText


class UserAccess(Keys):
    access_as: UserAccessAs | None = None
    projects: list[UserAccessEntry] = Field(default=[])
    groups: list[UserAccessEntry] = Field(default=[])


class Resources(Keys):
    cpu: fields.Text = ""
    memory: fields.Text = ""


class ResourceRequirements(Keys):
    limits: Resources | None = None
    requests: Resources | None = None


class VulnerabilityReport(Keys):
    namespaces: list[fields.SomeText] = Field(default=[])
    filters: list[dict[str, Any]] = Field(default=[])


class ContainerScanning(Keys):
    cadence: fields.SomeText | None = None
    vulnerability_report: VulnerabilityReport | None = None
    resource_requirements: ResourceRequirements | None = None


class Cilium(Keys):
    hubble_relay_address: fields.Text = ""


class WorkspacesProxy(Keys):
    namespace: fields.Text = ""


class Egress(Keys):
    allow: fields.SomeText
    except_: list[fields.SomeText] = Field(default=[], alias="except")


class NetworkPolicy(Keys):
    enabled: fields.Flag = True
    egress: list[Egress] = Field(default=[])


class RemoteDevelopment(Keys):
    enabled: fields.Flag = False
    dns_zone: fields.Text = ""
    partial_sync_interval: fields.PositiveDuration | None = None
    full_sync_interval: fields.PositiveDuration | None = None
    gitlab_workspaces_proxy: WorkspacesProxy | None = None
    network_policy: NetworkPolicy | None = None
    default_resources_per_workspace_container: ResourceRequirements | None = None
    max_resources_per_workspace: ResourceRequirements | None = None
    workspaces_quota: fields.Number = -1
    workspaces_per_user_quota: fields.Number = -1


class Flux(Keys):
    webhook_receiver_url: fields.Text = ""


SECTIONS: dict[str, type[Keys]] = {
    "observability": Observability,
    "ci_access": CiAccess,
    "user_access": UserAccess,
    "container_scanning": ContainerScanning,
    "starboard": ContainerScanning,
    "cilium": Cilium,
    "remote_development": RemoteDevelopment,
    "flux": Flux,
}


def check(sections: Mapping[str, Any]) -> tuple[LogLevel, tuple[str, ...], list[Finding]]:
    """Check the sections that a file has: the log level, the names of what is ignored, what is wrong."""
    level: LogLevel = "info"
    ignored: list[str] = []
    found: list[Finding] = []
    for name, data in sections.items():
        model = SECTIONS[name]
        try:
            section = model.model_validate(data)
        except ValidationError as error:
            found += findings(error, root=model, prefix=(name,))
            continue
        if isinstance(section, Observability):
            level = cast("LogLevel", section.logging.level)
            ignored += _ignored_in_observability(section)
        else:
            ignored.append(name)
    return level, tuple(ignored), found


def _ignored_in_observability(section: Observability) -> list[str]:
    ignored = ["observability.google_profiler"] if section.google_profiler is not None else []
    if "grpc_level" in section.logging.model_fields_set:
        ignored.append("observability.logging.grpc_level")
    return ignored
