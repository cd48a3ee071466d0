"""Alerts and dashboard ask of metrics that are really exported; every alert has its section in the docs."""

import json
import re

import pytest

from reconciler.cluster.counter import RequestCounter
from reconciler.cluster.errors import Forbidden
from reconciler.cluster.health import Health
from reconciler.manifests.identity import ObjectRef
from reconciler.sync.outcome import ObjectReport, Outcome, ProjectReport, State
from reconciler.web.metrics import Metrics
from tests.install.rendering import MANIFESTS, ROOT, of_kind, render
from tests.test_links import anchors
from tests.web.exposition import families

WORDS = {
    "state": {*State},
    "outcome": {*Outcome},
    "health": {*Health},
    "result": {"ok", "failed"},
    "cause": {Forbidden.reason},
}
"""What a label may be compared with."""
GROUPING = {"by", "without", "on", "ignoring", "group_left", "group_right"}
OF_THE_TARGET = "namespace"
"""A label that no metric has of itself: the scraping tells installations apart by it."""
KNOWN_WORDS = GROUPING | {
    "absent", "and", "count", "histogram_quantile", "increase", "max", "or", "rate", "sum", "time", "unless",
    "vector",
}  # fmt: skip
TOKEN = re.compile(
    r"""(?P<space>\s+)|(?P<text>"[^"]*")|(?P<range>\[[^\]]*\])|(?P<number>\d+(?:\.\d+)?)"""
    r"""|(?P<word>[A-Za-z_:][\w:]*)|(?P<sign>=~|!~|==|!=|>=|<=|[-+*/(){},=<>])"""
)


def tokens(expression):
    """(sort, text) of each token; an expression that has any other character is not PromQL as we use it."""
    found, at = [], 0
    while at < len(expression):
        match = TOKEN.match(expression, at)
        assert match, f"not understood: {expression[at:]}"
        at = match.end()
        if match.lastgroup != "space":
            found.append((match.lastgroup, match[0]))
    opened = []
    for _, text in found:
        if text in "({":
            opened.append(text)
        elif text in ")}":
            assert opened, f"brackets of {expression}"
            assert opened.pop() + text in ("()", "{}"), f"brackets of {expression}"
    assert not opened, f"brackets of {expression}"
    return found


def uses(expression):
    """Metric -> label -> values that it is compared with; and the labels that are grouped by."""
    metrics, grouped = {}, set()
    words = tokens(expression)
    at = 0
    while at < len(words):
        sort, text = words[at]
        at += 1
        if sort != "word":
            continue
        following = words[at][1] if at < len(words) else ""
        if text in GROUPING:
            end = words.index(("sign", ")"), at)
            grouped |= {label for kind, label in words[at:end] if kind == "word"}
            at = end + 1
        elif text not in KNOWN_WORDS:
            labels = metrics.setdefault(text, {})
            if following == "{":
                end = words.index(("sign", "}"), at)
                inside = words[at + 1 : end]
                for (_, label), (_, value) in zip(inside[::4], inside[2::4], strict=True):
                    labels.setdefault(label, set()).update(value.strip('"').split("|"))
                at = end + 1
    return metrics, grouped


@pytest.fixture(scope="module")
def exported():
    """Name of each series -> its labels, of a page on which every metric has a sample."""
    metrics = Metrics()
    counter = RequestCounter()
    counter.add("list", "deployments.apps")
    metrics.count_requests(counter)
    metrics.observe_configuration(good=True)
    metrics.observe_apply(0.1, "Deployment")
    metrics.observe_wait(0.1)
    metrics.observe_drift("Deployment", "kubectl")
    metrics.observe_error("Forbidden")
    ref = ObjectRef("apps", "Deployment", "shop", "web")
    item = ObjectReport(ref=ref, outcome=Outcome.UNCHANGED, health=Health.CURRENT)
    metrics.observe(ProjectReport(project="shop", state=State.SYNCED, commit="c1", objects=(item,)))
    found = {}
    for family in families(metrics.render()[0]).values():
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def rules():
    (rule,) = of_kind(render(MANIFESTS / "monitoring"), "PrometheusRule").values()
    return [alert for group in rule["spec"]["groups"] for alert in group["rules"]]


ALERTS = [pytest.param(alert, id=alert["alert"]) for alert in rules()]
DASHBOARD = json.loads((MANIFESTS / "monitoring/dashboard.json").read_text(encoding="utf-8"))
TARGETS = [
    pytest.param(target["expr"], id=f"{panel['title']} {target['refId']}")
    for panel in DASHBOARD["panels"]
    for target in panel["targets"]
]


def check(expression, exported):
    metrics, grouped = uses(expression)
    assert metrics, "it asks of no metric"
    unknown = metrics.keys() - exported.keys()
    assert not unknown, f"not exported: {sorted(unknown)}"
    for metric, labels in metrics.items():
        assert labels.keys() <= exported[metric], f"{metric} has no such label"
        for label, values in labels.items():
            if values != {"$project"}:
                assert values <= WORDS[label], f"no value of {label}"
    known = {OF_THE_TARGET}.union(*(exported[metric] for metric in metrics))
    assert grouped <= known, "grouped by what no metric has"


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_asks_of_what_is_exported(alert, exported):
    check(alert["expr"], exported)


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_never_mixes_two_installations(alert):
    """Two leaders in two namespaces are well, and a project of one is not the other's of the same name."""
    words = [text for _, text in tokens(alert["expr"])]
    for at, word in enumerate(words):
        if word in ("sum", "max"):
            assert words[at + 1] == "by", "all installations together"
        if word in GROUPING:
            assert OF_THE_TARGET in words[at : words.index(")", at)]
    assert {"sum", "max", "absent"} & set(words), "an aggregation that this test does not know"


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_says_what_is_wrong_and_where_to_read_on(alert):
    assert alert["labels"].keys() == {"severity"}
    assert alert["labels"]["severity"] in ("warning", "critical")
    assert {"summary", "description", "runbook"} == alert["annotations"].keys()
    page, _, anchor = alert["annotations"]["runbook"].partition("#")
    assert page == "docs/metrics.md"
    assert anchor == alert["alert"].lower()
    assert anchor in anchors(ROOT / page)
    _, grouped = uses(alert["expr"])
    told = " ".join(alert["annotations"].values())
    assert set(re.findall(r"\$labels\.(\w+)", told)) <= grouped, "the alert has no such label"


def test_the_docs_list_the_alerts_and_no_other():
    text = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
    listed = re.findall(r"^### (\w+)$", text.partition("\n## Alerts\n")[2], re.MULTILINE)
    assert listed == [alert["alert"] for alert in rules()]


@pytest.mark.parametrize("expression", TARGETS)
def test_a_panel_asks_of_what_is_exported(expression, exported):
    check(expression.replace("$__rate_interval", "5m"), exported)


def test_every_metric_is_on_the_dashboard(exported):
    shown = set().union(*(uses(target.values[0])[0] for target in TARGETS))
    families_shown = {re.sub(r"_(bucket|sum|count)$", "", name) for name in shown}
    families_exported = {
        re.sub(r"_(bucket|sum|count)$", "", name) if f"{name.rpartition('_')[0]}_bucket" in exported else name
        for name in exported
    }
    assert families_exported - families_shown == {"reconciler_config_last_success_timestamp_seconds"}


def test_the_dashboard_can_be_imported_anywhere():
    assert DASHBOARD["uid"] == "reconciler"
    assert "id" not in DASHBOARD, "a number of one Grafana"
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    used = {json.dumps(panel["datasource"]) for panel in DASHBOARD["panels"]}
    assert used == {json.dumps({"type": "prometheus", "uid": "${datasource}"})}
    assert [its["name"] for its in DASHBOARD["templating"]["list"]] == ["datasource", "project"]


def test_the_monitor_scrapes_the_port_that_the_network_policy_opens():
    base = render(MANIFESTS / "base")
    (monitor,) = of_kind(render(MANIFESTS / "monitoring"), "ServiceMonitor").values()
    service = of_kind(base, "Service")["reconciler"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["port"] == service["spec"]["ports"][0]["name"]
    (ingress,) = of_kind(base, "NetworkPolicy")["reconciler"]["spec"]["ingress"]
    assert [port["port"] for port in ingress["ports"]] == [endpoint["port"]]
    (source,) = ingress["from"]
    assert source == {"namespaceSelector": {"matchLabels": {"reconciler.dev/metrics": "allowed"}}}


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param("sum(reconciler_project_count)", id="a metric that is not there"),
        pytest.param('reconciler_project_state{status="held"}', id="a label that is not there"),
        pytest.param('reconciler_project_state{state="waiting"}', id="a word that is not there"),
        pytest.param("sum by (reason) (reconciler_errors_total)", id="grouped by what is not there"),
        pytest.param("sum(reconciler_config_ok", id="a bracket too few"),
        pytest.param("rate(reconciler_apply_duration_seconds[5m])", id="a histogram without its suffix"),
    ],
)
def test_what_is_not_exported_is_noticed(wrong, exported):
    with pytest.raises((AssertionError, KeyError)):
        check(wrong, exported)
