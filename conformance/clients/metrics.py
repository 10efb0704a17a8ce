"""The metrics of a server, as Prometheus' own parsers read them: `metrics.py PORT`.

Both formats have to parse, strictly, and to say the same.
"""

import sys
import urllib.request

from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client import parser as text

OPEN_METRICS = "application/openmetrics-text"


def scrape(port, accept):
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def families(parse, body):
    """Name and type of each, and the names and labels of its samples."""
    found = {}
    for family in parse(body):
        samples = sorted((sample.name, sorted(sample.labels.items())) for sample in family.samples)
        assert samples, family.name
        assert family.documentation and family.type != "unknown", family.name
        assert family.name not in found, family.name
        found[family.name] = (family.type, samples)
    return found


def main():
    port = int(sys.argv[1])
    sort, body = scrape(port, "text/plain;version=0.0.4")
    assert sort.startswith("text/plain; version=0.0.4"), sort
    plain = families(text.text_string_to_metric_families, body)
    sort, body = scrape(port, f"{OPEN_METRICS};version=1.0.0,text/plain;version=0.0.4;q=0.5")
    assert sort.startswith(f"{OPEN_METRICS}; version=1.0.0"), sort
    opened = families(openmetrics.text_string_to_metric_families, body)
    assert plain == opened, set(plain) ^ set(opened)
    histograms = [name for name, (sort, _) in plain.items() if sort == "histogram"]
    assert len(histograms) >= 4, histograms
    print(f"{len(plain)} families, {len(histograms)} of them histograms, the same in both formats")


main()
