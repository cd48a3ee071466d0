import pytest

from .reading import problems, read

LONG = ", ".join(f"{{id: g{i}}}" for i in range(101))

IMPERSONATE = "ci_access.groups[0].access_as.impersonate."


def impersonate(keys: str) -> str:
    return f"ci_access: {{groups: [{{id: a, access_as: {{impersonate: {{username: u, {keys}}}}}}}]}}"


EVERYTHING = """\
observability:
  logging: {level: debug, grpc_level: warn}
  google_profiler: {enabled: true, project_id: p, credentials_file: /f, debug_logging: false}
ci_access:
  projects:
  - id: g/p
    default_namespace: ns
    access_as: {impersonate: {username: u, groups: [g], uid: "1", extra: [{key: k, val: [v]}]}}
    environments: [prod, "review/*"]
  groups: [{id: g, access_as: {agent: {}}}, {id: h, access_as: {ci_job: {}}}]
user_access:
  access_as: {user: {}}
  projects: [{id: g/p}]
  groups: [{id: g}]
container_scanning:
  cadence: 0 0 * * *
  vulnerability_report: {namespaces: [a], filters: [{kinds: [Pod]}]}
  resource_requirements: {limits: {cpu: 100m, memory: 1Gi}, requests: {cpu: 50m, memory: 64Mi}}
starboard: {cadence: 0 0 * * *}
cilium: {hubble_relay_address: "hubble:80"}
remote_development:
  enabled: true
  dns_zone: w.example.com
  partial_sync_interval: 10s
  full_sync_interval: 3600s
  gitlab_workspaces_proxy: {namespace: ws}
  network_policy: {enabled: true, egress: [{allow: 0.0.0.0/0, except: [10.0.0.0/8]}]}
  default_resources_per_workspace_container: {limits: {cpu: "1", memory: 1Gi}}
  max_resources_per_workspace: {requests: {cpu: "1", memory: 1Gi}}
  workspaces_quota: 10
  workspaces_per_user_quota: 2
flux: {webhook_receiver_url: http://receiver}
"""


def test_every_section_of_the_old_agent_is_accepted_and_named_as_ignored():
    got = read(EVERYTHING)
    assert got.ignored == (
        "observability.google_profiler",
        "observability.logging.grpc_level",
        "ci_access",
        "user_access",
        "container_scanning",
        "starboard",
        "cilium",
        "remote_development",
        "flux",
    )
    assert got.log_level == "debug"
    assert got.projects == ()


@pytest.mark.parametrize(
    ("level", "want"),
    [
        pytest.param("info", "info", id="name"),
        pytest.param("0", "info", id="number 0"),
        pytest.param("1", "debug", id="number 1"),
        pytest.param("2", "warn", id="number 2"),
        pytest.param("3", "error", id="number 3"),
        pytest.param("null", "info", id="null is the default"),
    ],
)
def test_the_log_level_is_honoured_by_name_and_by_number(level, want):
    got = read(f"observability: {{logging: {{level: {level}}}}}")
    assert (got.log_level, got.ignored) == (want, ())


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("remote_development: {}", id="empty remote_development"),
        pytest.param(
            "remote_development: {partial_sync_interval: 1s, full_sync_interval: 1s}", id="intervals 1 s"
        ),
        pytest.param("ci_access: {groups: [{id: abc, default_namespace: ''}]}", id="empty default namespace"),
        pytest.param("ci_access: {groups: [{id: abc, environments: []}]}", id="no environments"),
        pytest.param("ci_access: {groups: [{id: abc, environments: [a, b]}]}", id="two environments"),
        pytest.param(
            "ci_access: {groups: [{id: g, access_as: {impersonate: {username: abc}}}]}", id="only a user"
        ),
        pytest.param(
            "ci_access: {groups: [{id: g, access_as: {impersonate: {username: abc, groups: [g]}}}]}",
            id="and groups",
        ),
        pytest.param("user_access: {access_as: {agent: {}}}", id="access as agent"),
    ],
)
def test_valid(text):
    assert problems(text) == []


@pytest.mark.parametrize(
    ("text", "want"),
    [
        pytest.param(
            "observability: {logging: {level: debgu}}",
            ['observability.logging.level: this is not a value of this key; did you mean "debug"?'],
            id="level by near miss",
        ),
        pytest.param(
            "observability: {logging: {grpc_level: 4}}",
            ["observability.logging.grpc_level: no value of this key has that number"],
            id="no such number",
        ),
        pytest.param(
            "observability: {loging: {}}",
            ['observability.loging: unknown key; did you mean "logging"?'],
            id="unknown key inside",
        ),
        pytest.param("flux: []", ["flux: this must be a mapping of keys, not a list"], id="wrong type"),
        pytest.param(
            "ci_access: {groups: [{id: ''}]}",
            ["ci_access.groups[0].id: value length must be at least 1 bytes"],
            id="empty id of a group",
        ),
        pytest.param(
            "ci_access: {projects: [{id: ''}]}",
            ["ci_access.projects[0].id: value length must be at least 1 bytes"],
            id="empty id of a project",
        ),
        pytest.param(
            "ci_access: {projects: [{id: a, environments: ['']}]}",
            ["ci_access.projects[0].environments[0]: value length must be at least 1 bytes"],
            id="empty environment",
        ),
        pytest.param(
            "ci_access: {groups: [{id: a, access_as: {}}]}",
            ["ci_access.groups[0].access_as: value is required; set exactly one of agent, impersonate or"],
            id="empty access_as",
        ),
        pytest.param(
            "ci_access: {groups: [{id: a, access_as: {agent: null}}]}",
            ["ci_access.groups[0].access_as: value is required"],
            id="agent is null",
        ),
        pytest.param(
            "ci_access: {groups: [{id: a, access_as: {impersonate: null}}]}",
            ["ci_access.groups[0].access_as: value is required"],
            id="impersonate is null",
        ),
        pytest.param(
            "ci_access: {groups: [{id: a, access_as: {ci_job: null}}]}",
            ["ci_access.groups[0].access_as: value is required"],
            id="ci_job is null",
        ),
        pytest.param(
            "ci_access: {groups: [{id: a, access_as: {agent: {}, ci_job: {}}}]}",
            ["ci_access.groups[0].access_as: agent and ci_job exclude each other"],
            id="two of them",
        ),
        pytest.param(
            "ci_access: {groups: [{id: a, access_as: {agent: {x: 1}}}]}",
            ["ci_access.groups[0].access_as.agent.x: unknown key; nothing may stand here: write {}"],
            id="agent has no keys",
        ),
        pytest.param(
            "ci_access: {groups: [{id: a, access_as: {impersonate: {}}}]}",
            ["ci_access.groups[0].access_as.impersonate.username: this key is required"],
            id="impersonate nobody",
        ),
        pytest.param(
            impersonate("groups: ['']"),
            [IMPERSONATE + "groups[0]: value length must be at least 1 bytes"],
            id="empty group to impersonate",
        ),
        pytest.param(
            impersonate("extra: [{}]"),
            [
                IMPERSONATE + "extra[0].key: this key is required",
                IMPERSONATE + "extra[0].val: this key is required",
            ],
            id="extra without key and val",
        ),
        pytest.param(
            impersonate("extra: [{key: '', val: ['']}]"),
            [
                IMPERSONATE + "extra[0].key: value length must be at least 1 bytes",
                IMPERSONATE + "extra[0].val[0]: value length must be at least 1 bytes",
            ],
            id="extra with empty key and val",
        ),
        pytest.param(
            impersonate("extra: [{key: k, val: []}]"),
            [IMPERSONATE + "extra[0]: val must contain at least 1 item(s)"],
            id="extra with no val",
        ),
        pytest.param(
            f"ci_access: {{groups: [{LONG}]}}",
            ["ci_access.groups: this list has more than 100 entries"],
            id="101",
        ),
        pytest.param(
            "user_access: {access_as: {}}",
            ["user_access.access_as: value is required; set exactly one"],
            id="as whom",
        ),
        pytest.param(
            "container_scanning: {cadence: ''}",
            ["container_scanning.cadence: value length must be"],
            id="no cadence",
        ),
        pytest.param("starboard: {cadence: ''}", ["starboard.cadence: value length must be at"], id="alias"),
        pytest.param(
            "remote_development: {partial_sync_interval: 0s, full_sync_interval: 0s}",
            [
                "remote_development.partial_sync_interval: value must be greater than 0s",
                "remote_development.full_sync_interval: value must be greater than 0s",
            ],
            id="intervals 0",
        ),
    ],
)
def test_invalid(text, want):
    got = problems(text)
    assert len(got) == len(want), got
    assert all(part in line for part, line in zip(want, got, strict=True)), got
