"""What a scraper understands of a page of metrics."""

from prometheus_client.parser import text_string_to_metric_families


def families(page):
    """Name as in the text -> parsed family."""
    parsed = text_string_to_metric_families(page.decode())
    return {f"{f.name}_total" if f.type == "counter" else f.name: f for f in parsed}


def series(page, name):
    """`project=shop state=synced` -> value, for the samples of that name."""
    return {
        " ".join(f"{label}={value}" for label, value in sorted(sample.labels.items())): sample.value
        for family in families(page).values()
        for sample in family.samples
        if sample.name == name
    }
