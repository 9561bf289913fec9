"""Packs the chart for a release: ``python helm/pack.py --version 1.2.3 --to dist``."""

import argparse
from pathlib import Path

import helm_python

CHART = Path(__file__).parent / "recoup"

if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--version", required=True)
    arguments.add_argument("--to", type=Path, required=True)
    given = arguments.parse_args()
    given.to.mkdir(parents=True, exist_ok=True)
    helm_python.package(CHART, destination=given.to, version=given.version, app_version=given.version)
