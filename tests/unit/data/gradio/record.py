"""Print the trimmed `/config` and `/info` of the Gradio app at the URL given."""

import json
import sys
import urllib.request
from collections.abc import Iterable

PROPS = (
    "name", "label", "value", "choices", "multiselect", "file_count", "file_types", "allow_custom_value",
    "minimum", "maximum", "type",
)  # fmt: skip
DEPENDENCY = (
    "id", "api_name", "inputs", "outputs", "backend_fn", "queue", "show_api", "api_visibility",
    "trigger_after", "types",
)  # fmt: skip
PARAMETER = ("label", "parameter_name", "parameter_has_default", "parameter_default", "component")


def fetch(url: str) -> dict:
    with urllib.request.urlopen(url, timeout=30) as response:
        return json.load(response)


def only(row: dict, keys: tuple[str, ...]) -> dict:
    return {key: row[key] for key in keys if key in row}


def schema(kind: dict) -> dict:
    return {"type": kind.get("type"), "properties": {key: {} for key in kind.get("properties", {})}}


def table(rows: Iterable[str], ends: str) -> str:
    return ends[0] + "\n" + ",\n".join(rows) + "\n" + ends[1]


def main(base: str) -> None:
    config = fetch(f"{base}/config")
    info = fetch(f"{base}{config.get('api_prefix', '')}/info")
    kept = {key: config[key] for key in ("version", "protocol", "api_prefix", "enable_queue", "mode")}
    used = {i for d in config["dependencies"] for i in d["inputs"] + d["outputs"]}
    kept["components"] = [
        only(c, ("id", "type", "skip_api"))
        | {"props": only(c["props"], PROPS), "api_info_as_input": schema(c.get("api_info_as_input") or {})}
        for c in config["components"]
        if c["id"] in used
    ]
    kept["dependencies"] = [only(d, DEPENDENCY) for d in config["dependencies"]]
    endpoints = {
        name: {"parameters": [only(p, PARAMETER) | {"type": schema(p["type"])} for p in told["parameters"]]}
        for name, told in info["named_endpoints"].items()
    }
    rows = ("components", "dependencies")
    lines = [f'"{key}": {json.dumps(value)}' for key, value in kept.items() if key not in rows]
    lines += [f'"{key}": {table(map(json.dumps, kept[key]), "[]")}' for key in rows]
    named = table((f'"{name}": {json.dumps(told)}' for name, told in endpoints.items()), "{}")
    config = table(lines, "{}")
    sys.stdout.write(f'{{"config": {config},\n"info": {{"named_endpoints": {named}}}}}\n')


main(sys.argv[1])
