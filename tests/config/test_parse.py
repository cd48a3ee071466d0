import pytest

from reconciler.config.errors import ConfigInvalid
from reconciler.config.models import Configuration, ManifestProject
from reconciler.config.parse import MAX_SIZE, parse
from reconciler.git.globs import FileLimits
from reconciler.git.refs import RefSpec

from .reading import OWN, problems, project, project_problems, read

EVERY_OLD_KEY = """\
gitops:
  manifest_projects:
  - id: my-group/apps                 # optional since 15.7
    ref: {branch: production}         # or tag: / commit:
    default_namespace: my-ns
    paths: [{glob: '/team1/app1/*.yaml'}, {glob: '/team2/apps/**/*.yaml'}]
    reconcile_timeout: 3600s
    dry_run_strategy: none
    prune: true
    prune_timeout: 3600s
    prune_propagation_policy: foreground
    inventory_policy: must_match
git:
  base_url: https://gitlab.example.com
"""

EVERY_KEY_OF_OURS = """\
git: {base_url: https://gitlab.example.com, credentials: everywhere}
limits: {max_paths: 3, max_files: 20, max_file_size: 2MiB, max_total_size: 4096}
paused: true
gitops:
  manifest_projects:
  - id: shop
    url: ssh://git@git.example.com/shop.git
    credentials: shop-key
    interval: 1.5s
    suspend: true
    depends_on: [base]
    strict: true
    prune_limit: 30%
    guarded_kinds: [Secret, Certificate.cert-manager.io]
    inventory_id: 1-278964
    take_over: [kustomize-controller]
    prune_grace: 60s
    service_account: shop/deployer
    allowed_namespaces: [shop, shop-jobs]
    allowed_kinds: [ConfigMap, Deployment.apps]
    hold_on_rewind: true
  - id: base
"""


def test_the_old_agents_example_with_every_key():
    (got,) = read(EVERY_OLD_KEY).projects
    assert got == ManifestProject(
        id="my-group/apps",
        url="https://gitlab.example.com/my-group/apps.git",
        ref=RefSpec("branch", "production"),
        default_namespace="my-ns",
        paths=("/team1/app1/*.yaml", "/team2/apps/**/*.yaml"),
        reconcile_timeout=3600.0,
        dry_run_strategy="none",
        prune=True,
        prune_timeout=3600.0,
        prune_propagation_policy="foreground",
        inventory_policy="must_match",
    )


def test_every_key_of_ours():
    got = read(EVERY_KEY_OF_OURS)
    shop, base = got.projects
    assert got.limits == FileLimits(max_paths=3, max_files=20, max_file_size=2 * 2**20, max_total_size=4096)
    assert got.paused
    assert shop.url == "ssh://git@git.example.com/shop.git"
    assert (shop.credentials, base.credentials) == ("shop-key", "everywhere")
    assert (shop.interval, shop.suspend, shop.strict, shop.depends_on) == (1.5, True, True, ("base",))
    assert str(shop.prune_limit) == "30%"
    assert shop.guarded_kinds == ("Secret", "Certificate.cert-manager.io")
    assert (shop.inventory_id, shop.take_over) == ("1-278964", ("kustomize-controller",))
    assert (shop.prune_grace, shop.hold_on_rewind) == (60.0, True)
    assert shop.service_account == "shop/deployer"
    assert shop.allowed_namespaces == ("shop", "shop-jobs")
    assert shop.allowed_kinds == ("ConfigMap", "Deployment.apps")


def test_defaults_of_a_project_are_those_of_the_old_agent():
    got = project("")
    assert got.ref == RefSpec("head", "")
    assert (got.default_namespace, got.paths) == ("default", ("**/*.{yaml,yml,json}",))
    assert (got.reconcile_timeout, got.prune_timeout, got.interval) == (3600.0, 3600.0, 20.0)
    assert (got.dry_run_strategy, got.prune, got.prune_propagation_policy) == ("none", True, "foreground")
    assert (got.inventory_policy, got.suspend, got.strict) == ("must_match", False, False)
    assert str(got.prune_limit) == "50% and 10"
    assert (got.inventory_id, got.take_over, got.prune_grace, got.hold_on_rewind) == (None, (), 0.0, False)
    assert (got.service_account, got.allowed_namespaces, got.allowed_kinds) == (None, None, None)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty text"),
        pytest.param("\n", id="one newline"),
        pytest.param("# nothing yet\n# still nothing\n", id="only comments"),
        pytest.param("null", id="null"),
        pytest.param("{}", id="empty mapping"),
        pytest.param("gitops: {}", id="empty gitops"),
        pytest.param("gitops:", id="gitops is null"),
        pytest.param("gitops: {manifest_projects: []}", id="no projects"),
        pytest.param("gitops: {manifest_projects: null}", id="projects are null"),
        pytest.param("remote_development:\nflux:\nobservability:", id="other sections are null"),
        pytest.param('{"gitops": {"manifest_projects": []}}', id="JSON"),
        pytest.param("---\n{}\n", id="document start"),
    ],
)
def test_equals_the_empty_configuration(text):
    assert read(text) == Configuration()


@pytest.mark.parametrize(
    ("keys", "attribute", "want"),
    [
        pytest.param("ref: {tag: v1}", "ref", RefSpec("tag", "v1"), id="tag"),
        pytest.param(f"ref: {{commit: {'a1' * 20}}}", "ref", RefSpec("commit", "a1" * 20), id="commit"),
        pytest.param("ref: {tag: v1, branch: null}", "ref", RefSpec("tag", "v1"), id="null is unset"),
        pytest.param("ref: null", "ref", RefSpec("head", ""), id="null ref is HEAD"),
        pytest.param("paths: []", "paths", ("**/*.{yaml,yml,json}",), id="empty list is the default"),
        pytest.param("paths: null", "paths", ("**/*.{yaml,yml,json}",), id="null list is the default"),
        pytest.param("default_namespace: ''", "default_namespace", "default", id="empty namespace"),
        pytest.param(
            "paths: [{glob: '{a,[}'}, {glob: .dir/x}]",
            "paths",
            ("{a,[}", ".dir/x"),
            id="globs of which a part means nothing",
        ),
        pytest.param("prune: false", "prune", False, id="explicit false is respected"),
        pytest.param("prune: null", "prune", True, id="null prune is the default"),
        pytest.param("dry_run_strategy: ''", "dry_run_strategy", "none", id="empty strategy"),
        pytest.param("dry_run_strategy: client", "dry_run_strategy", "client", id="client dry run"),
        pytest.param("dry_run_strategy: server", "dry_run_strategy", "server", id="server dry run"),
        pytest.param(
            "prune_propagation_policy: ''", "prune_propagation_policy", "foreground", id="empty policy"
        ),
        pytest.param("prune_propagation_policy: orphan", "prune_propagation_policy", "orphan", id="orphan"),
        pytest.param(
            "prune_propagation_policy: background", "prune_propagation_policy", "background", id="back"
        ),
        pytest.param("inventory_policy: ''", "inventory_policy", "must_match", id="empty inventory policy"),
        pytest.param("inventory_policy: adopt_all", "inventory_policy", "adopt_all", id="adopt all"),
        pytest.param(
            "inventory_policy: adopt_if_no_inventory",
            "inventory_policy",
            "adopt_if_no_inventory",
            id="adopt new",
        ),
        pytest.param("reconcile_timeout: 0s", "reconcile_timeout", 0.0, id="0s waits for ever"),
        pytest.param("prune_timeout: 1.5s", "prune_timeout", 1.5, id="a fraction of a second"),
        pytest.param("prune_timeout: 315576000000s", "prune_timeout", 315576e6, id="10,000 years"),
        pytest.param("depends_on: []", "depends_on", (), id="no dependencies"),
        pytest.param("inventory_id: ''", "inventory_id", "", id="no inventory is looked for"),
        pytest.param("inventory_id: null", "inventory_id", None, id="an inventory is looked for"),
        pytest.param(f"inventory_id: {'a' * 63}", "inventory_id", "a" * 63, id="as long as a label may be"),
        pytest.param("take_over: [a, b, a]", "take_over", ("a", "b"), id="manager said twice counts once"),
        pytest.param("take_over: [Go-http-client]", "take_over", ("Go-http-client",), id="capital letters"),
        pytest.param("take_over: null", "take_over", (), id="no managers"),
        pytest.param("prune_grace: 0s", "prune_grace", 0.0, id="no grace"),
        pytest.param("service_account: a/b.c", "service_account", "a/b.c", id="account with a dot"),
        pytest.param("service_account: null", "service_account", None, id="the service itself"),
        pytest.param("allowed_namespaces: [a, a]", "allowed_namespaces", ("a",), id="namespace twice"),
        pytest.param("allowed_namespaces: null", "allowed_namespaces", None, id="null allows all namespaces"),
        pytest.param(
            "allowed_kinds: [Job.batch, Job.batch]", "allowed_kinds", ("Job.batch",), id="kind twice"
        ),
        pytest.param("allowed_kinds: null", "allowed_kinds", None, id="null allows all kinds"),
        pytest.param("hold_on_rewind: false", "hold_on_rewind", False, id="a rewind is applied"),
        pytest.param(
            "guarded_kinds: [Secret, Secret]", "guarded_kinds", ("Secret",), id="said twice counts once"
        ),
    ],
)
def test_a_key_means(keys, attribute, want):
    assert getattr(project(keys), attribute) == want


@pytest.mark.parametrize(
    ("keys", "want"),
    [
        pytest.param("id_: x", 'id_: unknown key; did you mean "id"?', id="near miss of a key"),
        pytest.param(
            "reconcileTimeout: 1s", 'did you mean "reconcile_timeout"?', id="camelCase is not offered"
        ),
        pytest.param("zebra: null", "zebra: unknown key; known here: id, ref,", id="unknown, also with null"),
        pytest.param(
            "ref: {}", "ref: value is required; set exactly one of tag, branch or commit", id="empty ref"
        ),
        pytest.param("ref: {branch: null}", "ref: value is required", id="null counts as missing"),
        pytest.param("ref: {tag: a, branch: b}", "ref: tag and branch exclude each other", id="two refs"),
        pytest.param(
            "ref: {branch: ''}", "ref.branch: value length must be at least 1 bytes", id="empty branch"
        ),
        pytest.param(
            "ref: {brunch: x}", 'ref.brunch: unknown key; did you mean "branch"?', id="unknown key in ref"
        ),
        pytest.param(
            "ref: {tag: 1.10}", "ref.tag: this must be text, not a number", id="tag that YAML reads as number"
        ),
        pytest.param(
            "ref: main", "ref: this must be a mapping of keys, not text; write for example", id="ref is text"
        ),
        pytest.param(
            "ref: {branch: 'a..b'}", "ref.branch: no branch can be named", id="no branch name for git"
        ),
        pytest.param(
            "ref: {commit: abc}", "ref.commit: commit 'abc' is not a full commit id", id="short commit"
        ),
        pytest.param(
            "paths: {glob: x}", "paths: this must be a list, not a mapping of keys", id="paths not a list"
        ),
        pytest.param(
            "paths: ['*.yaml']",
            "paths[0]: this must be a mapping of keys, not text; write - glob:",
            id="glob",
        ),
        pytest.param(
            "paths: [{glob: ''}]", "paths[0].glob: value length must be at least 1 bytes", id="empty glob"
        ),
        pytest.param(
            "paths: [{glob: 'a/['}]", "paths[0].glob: no file can match this glob: a [ is not closed", id="["
        ),
        pytest.param(
            "paths: [{glob: 'a'}, {glob: '../b'}]",
            "paths[1].glob: no file can match this glob: a component `..` is in no path",
            id="glob that leaves the repository",
        ),
        pytest.param(
            f"paths: [{{glob: {'a' * 1025}}}]",
            "paths[0].glob: a glob has 1025 characters, the limit is 1024",
            id="endless glob",
        ),
        pytest.param(
            f"paths: [{{glob: '{'*a' * 101}'}}]",
            "paths[0].glob: a glob has 101 stars and braces, the limit is 100",
            id="too many wildcards",
        ),
        pytest.param("paths: [{}]", "paths[0].glob: this key is required", id="path without glob"),
        pytest.param(
            "paths: [null]", "paths[0]: this must be a mapping of keys, not nothing (null)", id="null path"
        ),
        pytest.param("prune: 'false'", "write false without quotes", id="quoted bool"),
        pytest.param(
            "prune: 1", "prune: this must be true or false, not a whole number", id="bool as number"
        ),
        pytest.param(
            "reconcile_timeout: 3600", "reconcile_timeout: a duration needs its unit; write 3600s", id="bare"
        ),
        pytest.param(
            "reconcile_timeout: '90'", "a duration needs its unit; write 90s", id="bare number as text"
        ),
        pytest.param("reconcile_timeout: 1h", "written in seconds only; write 3600s", id="hours"),
        pytest.param("reconcile_timeout: 5m", "written in seconds only; write 300s", id="minutes"),
        pytest.param(
            "reconcile_timeout: 1h2m3.5s", "written in seconds only; write 3723.5s", id="mixed units"
        ),
        pytest.param("reconcile_timeout: 500ms", "written in seconds only; write 0.5s", id="milliseconds"),
        pytest.param(
            "reconcile_timeout: -1s", "this is not a duration; write decimal seconds", id="negative"
        ),
        pytest.param(
            "reconcile_timeout: soon", "this is not a duration; write decimal seconds", id="no duration"
        ),
        pytest.param("reconcile_timeout: ''", "this is not a duration", id="empty duration"),
        pytest.param(
            "reconcile_timeout: 315576000001s",
            "a duration ends at 10,000 years; write 315576000000s or less",
            id="more than 10,000 years",
        ),
        pytest.param(
            "reconcile_timeout: 999999999h", "written in seconds only; write 3600s", id="years in hours"
        ),
        pytest.param(
            "reconcile_timeout: 1.0000000001s",
            "written in seconds only; write 1s",
            id="finer than a nanosecond",
        ),
        pytest.param("reconcile_timeout: true", "this must be text, not true or false", id="bool duration"),
        pytest.param(
            "interval: 0s", "interval: the interval is too short; write 1s or more", id="interval of nothing"
        ),
        pytest.param(
            "dry_run_strategy: sever", 'did you mean "server"? It must be one of none, client', id="near enum"
        ),
        pytest.param(
            "dry_run_strategy: 1", "dry_run_strategy: this must be text, not a whole number", id="text enum"
        ),
        pytest.param(
            "prune_propagation_policy: x", "write one of orphan, background, foreground", id="far enum"
        ),
        pytest.param(
            "inventory_policy: adopt", "inventory_policy: this is not a value of this key", id="policy"
        ),
        pytest.param(
            "default_namespace: My_NS", "default_namespace: this is not the name of a namespace", id="ns"
        ),
        pytest.param(
            "credentials: a/b", "credentials: this is not a name of credentials", id="credentials with slash"
        ),
        pytest.param(
            "credentials: ..", "credentials: this is not a name of credentials", id="credentials climb up"
        ),
        pytest.param(
            "credentials: ''", "credentials: this is not a name of credentials", id="credentials empty"
        ),
        pytest.param(
            f"credentials: {'a' * 254}", "this is not a name of credentials", id="credentials too long"
        ),
        pytest.param("prune_limit: -1", "prune_limit: a limit cannot be negative", id="negative limit"),
        pytest.param(
            "prune_limit: '30'", "prune_limit: this is not a prune limit but text", id="quoted number"
        ),
        pytest.param("prune_limit: 101%", "prune_limit: a percentage ends at 100", id="more than everything"),
        pytest.param("prune_limit: true", "this is not a prune limit but true or false", id="bool limit"),
        pytest.param(
            "guarded_kinds: [v1/Secret]", "guarded_kinds[0]: this is not a kind; write Kind", id="kind"
        ),
        pytest.param(
            "guarded_kinds: Secret", "guarded_kinds: this must be a list, not text", id="kinds not a list"
        ),
        *[
            pytest.param(
                f"inventory_id: {value}", "inventory_id: this is not the value of a label; write the", id=name
            )
            for name, value in [("label", "a/b"), ("blank", "'a b'"), ("end", "a-"), ("long", "a" * 64)]
        ],
        pytest.param("inventory_id: 1", "inventory_id: this must be text, not a whole number", id="number"),
        pytest.param("take_over: x", "take_over: this must be a list, not text", id="one manager"),
        pytest.param("take_over: ['']", "take_over[0]: value length must be at least 1", id="no manager"),
        pytest.param(
            f"take_over: [a, {'ä' * 65}]", "take_over[1]: this is not the name of a field manager", id="bytes"
        ),
        pytest.param(
            'take_over: ["a\\n"]', "take_over[0]: this is not the name of a field manager", id="line break"
        ),
        pytest.param("prune_grace: 60", "prune_grace: a duration needs its unit; write 60s", id="grace"),
        pytest.param("prune_grace: -1s", "prune_grace: this is not a duration", id="negative grace"),
        *[
            pytest.param(
                f"service_account: {value}",
                "service_account: this is not a ServiceAccount; write NAMESPACE/NAME",
                id=name,
            )
            for name, value in [
                ("account without namespace", "deployer"),
                ("account without name", "shop/"),
                ("account of no namespace", "/deployer"),
                ("account with two slashes", "a/b/c"),
                ("account in capitals", "Shop/deployer"),
                ("empty account", "''"),
                ("name of a user", "system:serviceaccount:shop:deployer"),
            ]
        ],
        pytest.param(
            "allowed_namespaces: []", "allowed_namespaces: an empty list allows nothing; name", id="none"
        ),
        pytest.param(
            "allowed_namespaces: shop", "allowed_namespaces: this must be a list, not text", id="one ns"
        ),
        pytest.param(
            "allowed_namespaces: ['*']", "allowed_namespaces: this is not the name of a namespace", id="star"
        ),
        pytest.param(
            "allowed_namespaces: ['']", "allowed_namespaces: value length must be at least 1", id="empty ns"
        ),
        pytest.param("allowed_kinds: []", "allowed_kinds: an empty list allows nothing; name", id="no kind"),
        pytest.param(
            "allowed_kinds: [v1/Pod]", "allowed_kinds: this is not a kind; write Kind", id="apiVersion"
        ),
        pytest.param(
            "allowed_kinds: [Pod, '*']", "allowed_kinds: this is not a kind; write Kind", id="any kind"
        ),
        pytest.param("hold_on_rewind: 'true'", "write true without quotes", id="quoted flag"),
        pytest.param(
            "resource_inclusions: []",
            "resource_inclusions: this key does not exist any more",
            id="gone in 14",
        ),
        pytest.param(
            "resource_exclusions: []", "the old agent removed this key in 14.0", id="gone in 14 too"
        ),
    ],
)
def test_a_key_is_wrong(keys, want):
    (got,) = project_problems(keys)
    assert want in got


@pytest.mark.parametrize(
    ("text", "want"),
    [
        pytest.param("- a", "1:1: the file is not a mapping of keys; start with gitops:", id="a list"),
        pytest.param("text", "1:1: the file is not a mapping of keys; start with gitops:", id="a word"),
        pytest.param("gitop: {}", '1:1: gitop: unknown key; did you mean "gitops"?', id="unknown section"),
        pytest.param(
            "gitops: []", "1:1: gitops: this must be a mapping of keys, not a list", id="gitops is a list"
        ),
        pytest.param(
            "gitops:\n  manifest_projects: {}",
            "2:3: gitops.manifest_projects: this must be a list, not a mapping of keys",
            id="projects are a mapping",
        ),
        pytest.param(
            "gitops:\n  charts: []", "2:3: gitops.charts: this key does not exist any more", id="charts"
        ),
        pytest.param(
            "git: {token: x}", "git.token: unknown key; known here: base_url, credentials", id="in git"
        ),
        pytest.param("git: text", "git: this must be a mapping of keys, not text", id="git is text"),
        pytest.param(
            "limits: {max_files: 0}", "limits.max_files: the limit must be at least 1", id="limit 0"
        ),
        pytest.param(
            "limits: {max_files: 1k}", "max_files: this must be a whole number, not text", id="count"
        ),
        pytest.param(
            "limits: {max_file_size: 5MB}", "max_file_size: this is not a size; write a number", id="MB"
        ),
        pytest.param(
            "limits: {max_file_size: 0KiB}", "max_file_size: the limit must be at least 1", id="size 0"
        ),
        pytest.param(
            "paused: 1", "paused: this must be true or false, not a whole number", id="paused as number"
        ),
    ],
)
def test_a_file_is_wrong(text, want):
    (got,) = problems(text)
    assert want in got


def test_mistakes_of_yaml_are_told_with_all_others():
    text = """\
gitops:
  manifest_projects:
  - id: a
    url: https://h/a
    prune: 1
    prune: 2
    ref: {branch: 18446744073709551616}
    interval: .inf
    paths: [{glob: *x}, {glob: "["}]
    depends_on: [18446744073709551616]
    strikt: true
paused: 1
"""
    assert [line.partition(";")[0] for line in problems(text)] == [
        "5:5: gitops.manifest_projects[0].prune: this must be true or false, not a whole number",
        '6:5: gitops.manifest_projects[0].prune: duplicate key "prune"',
        "7:19: gitops.manifest_projects[0].ref.branch: integer beyond 64 bits",
        "8:15: gitops.manifest_projects[0].interval: infinity and not-a-number cannot be sent to a cluster",
        "9:20: gitops.manifest_projects[0].paths[0].glob: unknown anchor referenced",
        "9:26: gitops.manifest_projects[0].paths[1].glob: no file can match this glob: a [ is not closed",
        "10:18: gitops.manifest_projects[0].depends_on[0]: integer beyond 64 bits",
        "11:5: gitops.manifest_projects[0].strikt: unknown key",
        "12:1: paused: this must be true or false, not a whole number",
    ]


@pytest.mark.parametrize(
    ("text", "want"),
    [
        pytest.param(
            "gitops: {}\n  a: 1",
            "2:3: while parsing a block mapping: did not find expected key; correct the YAML there",
            id="syntax",
        ),
        pytest.param("gitops: {}\n---\n{a: 1}", "3:1: a second document", id="two documents"),
        pytest.param("18446744073709551616", "1:1: integer beyond 64 bits", id="nothing but a number"),
        pytest.param("gitops: {}\nb: *c", "2:4: b: unknown anchor referenced", id="in an unknown key"),
    ],
)
def test_place_of_what_is_no_yaml(text, want):
    assert problems(text)[-1].startswith(want)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("git: {'https://user:hunter2@h': 1}", id="as a key"),
        pytest.param("'https://user:hunter2@h': 1", id="as a section"),
        pytest.param("gitops: {manifest_projects: [{ref: {'user:hunter2@h': 1}}]}", id="as a kind of ref"),
        pytest.param(
            "gitops: {manifest_projects: [{ref: {branch: 'https://user:hunter2@h'}}]}", id="as a branch"
        ),
        pytest.param(
            "gitops: {manifest_projects: [{id: 'https://user:hunter2@h'}, {id: 'https://user:hunter2@h'}]}",
            id="as an id, twice",
        ),
        pytest.param(
            "gitops: {manifest_projects: [{id: 'https://user:hunter2@h', depends_on: ['user:hunter2@h']}]}",
            id="as an id that another is near",
        ),
        pytest.param(
            "gitops: {manifest_projects: [{id: 'user:hunter2@h', depends_on: ['user:hunter2@h']}]}",
            id="as an id in a ring",
        ),
        pytest.param("a: {'user:hunter2@h': 1, 'user:hunter2@h': 2}", id="as a key, twice"),
    ],
)
def test_password_in_a_strange_place_is_not_repeated(text):
    lines = problems(text)
    assert lines
    assert "hunter2" not in " ".join(lines)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"{'k' * 100_000}: 1", id="section"),
        pytest.param(f"git: {{{'k' * 100_000}: 1}}", id="key"),
        pytest.param(f"git: {{{'k' * 50_000}: 1, {'k' * 50_000}: 1}}", id="key twice"),
        pytest.param(
            "git: {base_url: 'https://h'}\ngitops: {manifest_projects: ["
            + ", ".join([f"{{id: {'k' * 50_000}}}"] * 2)
            + "]}",
            id="id twice",
        ),
        pytest.param(
            "gitops:\n  manifest_projects:\n"
            + "".join(f"  - {{id: p{n}, url: 'https://h/a', depends_on: [p{n + 1}]}}\n" for n in range(999))
            + "  - {id: p999, url: 'https://h/a', depends_on: [p0]}\n",
            id="ring of many projects",
        ),
    ],
)
def test_problem_is_a_short_line_however_long_the_names_are(text):
    (line,) = problems(text)
    assert len(line) < 500


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file():
    text = """\
gitops:
  manifest_projects:
  - id: a
    url: https://h/a
    prune: 1
  - id: a
    url: http://u:p@h/a
    depends_on: [b]
  - id: b
    url: https://h/b
    reconcile_timeout: 1h
    depends_on: [c]
  - id: c
    url: https://h/c
    depends_on: [b, nobody]
ci_access: {projects: [{id: ''}]}
flx: {}
"""
    got = [line.partition(";")[0] for line in problems(text)]
    assert got == [
        "5:5: gitops.manifest_projects[0].prune: this must be true or false, not a whole number",
        "6:5: gitops.manifest_projects[1].id: duplicate source id: a is there already"
        " (gitops.manifest_projects[0].id, line 3, column 5)",
        "7:5: gitops.manifest_projects[1].url: a repository URL must not hold a user or password"
        " (a user alone is fine for ssh)",
        "11:5: gitops.manifest_projects[2].reconcile_timeout: a duration is written in seconds only",
        "12:5: gitops.manifest_projects[2].depends_on: manifest projects wait for each other: b -> c -> b",
        "15:21: gitops.manifest_projects[3].depends_on[1]: no manifest project has this id",
        "16:25: ci_access.projects[0].id: value length must be at least 1 bytes",
        "17:1: flx: unknown key",
    ]


def test_what_was_reported_once_is_not_reported_again_as_something_missing():
    text = "gitops: {manifest_projects: [{id: 7, depends_on: [x]}, {id: z, url: 1}, 5]}\ngit: {base_url: 9}"
    paths = [line.split(": ")[1] for line in problems(text)]
    assert paths == [
        "gitops.manifest_projects[0].id",
        "gitops.manifest_projects[1].url",
        "gitops.manifest_projects[2]",
        "git.base_url",
    ]


def test_no_error_text_shows_the_password_of_a_url():
    canary = "canary-4711"
    text = f"gitops: {{manifest_projects: [{{id: a, url: 'https://me:{canary}@h/a'}}]}}\n"
    text += f"git: {{base_url: 'https://{canary}@h', credentials: '{canary}/x'}}"
    got = problems(text)
    assert len(got) == 3
    assert canary not in "".join(got)


def test_broken_yaml_is_one_problem_with_its_line():
    (got,) = problems("gitops:\n  manifest_projects: [\n")
    assert int(got.split(":")[0]) >= 2


def test_two_documents_are_not_a_configuration():
    assert len(problems("gitops: {}\n---\ngitops: {}\n")) == 1


def test_the_size_limit_is_that_of_the_old_agent():
    assert read("#" * MAX_SIZE) == Configuration()
    (got,) = problems("#" * (MAX_SIZE + 1))
    assert got.startswith("1:1: the file has more than 131072 bytes; ")


def test_as_one_line_the_error_shows_the_first_mistake_and_counts_the_rest():
    with pytest.raises(ConfigInvalid) as raised:
        parse(b"a: 1\nb: 2\n", where="config.yaml")
    assert str(raised.value).startswith("config.yaml:1:1: a: unknown key (and 1 more); known here: gitops,")


def test_an_entry_without_id_is_the_configuration_project_itself():
    (got,) = read("gitops: {manifest_projects: [{}]}", config_project=OWN).projects
    assert (got.id, got.url, got.credentials) == (OWN.path, OWN.url, OWN.credentials)
