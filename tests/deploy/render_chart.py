"""Renders the chart for each of the values in a JSON list on standard input; for .venv-deploy's Python."""

import json
import sys

import helm_python
import yaml

with helm_python.Chart.load(sys.argv[1]) as chart:
    every = []
    for values in json.load(sys.stdin):
        try:
            rendered = chart.render(values, name="recoup", namespace="production")
        except helm_python.HelmError as refused:
            sys.exit(str(refused))
        texts = (text for path, text in rendered.items() if path.endswith(".yaml"))
        every.append([manifest for text in texts for manifest in yaml.safe_load_all(text) if manifest])
json.dump(every, sys.stdout)
