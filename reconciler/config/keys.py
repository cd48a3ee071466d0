"""
The shape of config.yaml: which keys there are, and what each may hold.

Pydantic models, strict and frozen, unknown keys forbidden. They know one key at a time;
rules that look at several entries (ids, URLs, dependencies) are resolve.py's. A `null`
means that the key is not there, as in protobuf's JSON form (the old agent's rule).
Keys of the old agent come first, then ours; each says its meaning in `description`,
which is also what an editor shows.
"""

from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from reconciler.config import fields, models


class Keys(BaseModel):
    """
    A mapping in the file.

    `removed`: keys that once existed, with what to do instead. `hint`: what to write where
    something else than a mapping stands.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", defer_build=True)
    removed: ClassVar[dict[str, str]] = {}
    hint: ClassVar[str] = "write key: value"

    @model_validator(mode="before")
    @classmethod
    def _null_is_unset(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        # An unknown key stays, so that it is an error with null too.
        return {key: value for key, value in data.items() if value is not None or key not in cls.model_fields}


ONE_KEY = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})


def exactly_one(keys: Keys, names: tuple[str, ...]) -> None:
    """Raise unless exactly one of the keys is set (the old agent's `oneof`)."""
    given = [name for name in names if getattr(keys, name) is not None]
    choices = ", ".join(names[:-1]) + f" or {names[-1]}"
    if not given:
        raise fields.rule("value is required", f"set exactly one of {choices}, or leave the whole key out")
    if len(given) > 1:
        raise fields.rule(f"{' and '.join(given)} exclude each other", f"keep exactly one of {choices}")


class Ref(Keys):
    """Which commit of the manifest repository: exactly one of the three keys."""

    model_config = ONE_KEY
    hint: ClassVar[str] = "write for example ref: {branch: main}"

    branch: fields.SomeText | None = Field(default=None, description="Follow this branch.")
    tag: fields.SomeText | None = Field(default=None, description="Follow this tag, also when it moves.")
    commit: fields.SomeText | None = Field(default=None, description="Stay at this commit (full object id).")

    @model_validator(mode="after")
    def _one_of(self) -> "Ref":
        exactly_one(self, ("tag", "branch", "commit"))
        return self


class PathGlob(Keys):
    """Which files of the manifest repository."""

    hint: ClassVar[str] = 'write - glob: "**/*.yaml"'

    glob: fields.SomeText = Field(description="Glob on the path inside the repository.")


DryRun = Annotated[str, fields.choice(("none", "client", "server"), empty_means="none")]
Propagation = Annotated[str, fields.choice(("orphan", "background", "foreground"), empty_means="foreground")]
Inventory = Annotated[
    str, fields.choice(("must_match", "adopt_if_no_inventory", "adopt_all"), empty_means="must_match")
]

_GONE = {
    "resource_inclusions": "the old agent removed this key in 14.0; choose files with paths instead",
    "resource_exclusions": "the old agent removed this key in 14.0; choose files with paths instead",
}


class ManifestProjectEntry(Keys):
    """One manifest project: a repository, a ref in it, and how its objects are kept."""

    removed: ClassVar[dict[str, str]] = _GONE

    id: fields.ProjectId | None = Field(
        default=None, description="Unique name; the project's full path on the server."
    )
    ref: Ref | None = Field(default=None, description="Branch, tag or commit; unset: HEAD of the repository.")
    default_namespace: fields.Namespace = Field(
        default=models.DEFAULT_NAMESPACE, description="Namespace of namespaced objects that name none."
    )
    paths: list[PathGlob] = Field(
        default=[], description=f"Files to take; empty is one entry, {models.DEFAULT_GLOB}."
    )
    reconcile_timeout: fields.Duration = Field(
        default=models.DEFAULT_TIMEOUT, description="How long to wait for applied objects; 0s is for ever."
    )
    dry_run_strategy: DryRun = Field(default="none", description="Do not write: none, client or server.")
    prune: fields.Flag = Field(default=True, description="Delete objects that left git.")
    prune_timeout: fields.Duration = Field(
        default=models.DEFAULT_TIMEOUT, description="How long to wait for deletions; 0s is for ever."
    )
    prune_propagation_policy: Propagation = Field(
        default="foreground", description="How dependants of a deleted object go."
    )
    inventory_policy: Inventory = Field(
        default="must_match", description="Which objects of others may be taken over."
    )

    url: fields.SomeText | None = Field(
        default=None, description="Where the repository is; unset: git.base_url and id."
    )
    credentials: fields.CredentialsName | None = Field(
        default=None, description="Name of the credentials; unset: git.credentials."
    )
    interval: fields.Interval = Field(
        default=models.DEFAULT_INTERVAL, description="How often the repository is asked for a new commit."
    )
    suspend: fields.Flag = Field(default=False, description="Leave this project as it is in the cluster.")
    depends_on: list[fields.ProjectId] = Field(
        default=[], description="Ids of projects of this file that must be ready first."
    )
    strict: fields.Flag = Field(default=False, description="One invalid object stops the whole project.")
    prune_limit: fields.PruneBound | None = Field(
        default=None, description="Prunes beyond this number or percentage are held for approval."
    )
    guarded_kinds: list[fields.KindName] = Field(
        default=[], description="Kinds whose pruning is always held for approval."
    )
    inventory_id: fields.LabelValue | None = Field(
        default=None,
        description='Inventory of the old agent to take over; unset: it is looked for, "": none.',
    )
    take_over: list[fields.FieldManager] = Field(
        default=[], description="Field managers whose fields this project takes over."
    )
    prune_grace: fields.Duration = Field(
        default=0.0, description="How long an object that left git is kept for another project to declare it."
    )
    service_account: fields.ServiceAccount | None = Field(
        default=None, description="NAMESPACE/NAME to act as; unset: the service itself."
    )
    allowed_namespaces: fields.NamespaceNames | None = Field(
        default=None, description="Namespaces that objects may live in; unset: all."
    )
    allowed_kinds: fields.KindNames | None = Field(
        default=None, description="Kinds that objects may have; unset: all."
    )
    hold_on_rewind: fields.Flag = Field(
        default=False, description="Hold when the ref moves back to an ancestor of what was applied."
    )


class GitOps(Keys):
    """What is pulled from git into the cluster."""

    removed: ClassVar[dict[str, str]] = {
        "charts": "the old agent removed it in 16.3; commit the rendered chart to a manifest project"
    }

    manifest_projects: list[ManifestProjectEntry] = Field(default=[], description="The manifest projects.")


class Git(Keys):
    """What all repositories of this file have in common."""

    base_url: fields.SomeText | None = Field(
        default=None, description="Where a project without url lives, by its id."
    )
    credentials: fields.CredentialsName | None = Field(
        default=None, description="Credentials of every project that names none."
    )


class Limits(Keys):
    """How much one manifest project may hold."""

    max_paths: fields.Count = Field(default=100, description="Globs in one project.")
    max_files: fields.Count = Field(default=10_000, description="Files that the globs of one project match.")
    max_file_size: fields.Size = Field(default=5 * 2**20, description="Size of one file.")
    max_total_size: fields.Size = Field(default=100 * 2**20, description="Size of all files of one project.")


class ConfigFile(Keys):
    """config.yaml of a cluster agent."""

    gitops: GitOps = Field(default_factory=GitOps, description="What is pulled from git into the cluster.")

    # Other parts of the old agent: compat.py checks them only where a file has them, because
    # building their models costs every start some milliseconds.
    observability: Any = None
    ci_access: Any = None
    user_access: Any = None
    container_scanning: Any = None
    starboard: Any = None
    cilium: Any = None
    remote_development: Any = None
    flux: Any = None

    git: Git = Field(default_factory=Git, description="What all repositories have in common.")
    limits: Limits = Field(default_factory=Limits, description="How much one manifest project may hold.")
    paused: fields.Flag = Field(default=False, description="Write nothing anywhere.")
