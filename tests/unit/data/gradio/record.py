"""Print the trimmed `/config` and `/info` of the Gradio app at the URL given, or of saved ones.

`record.py http://127.0.0.1:7860` asks a running app; `record.py FOLDER VERSION NAME…` reads
FOLDER/NAME-VERSION.json, each {"config": …, "info": …} in full, and prints one object by those names.
"""

import json
import sys
import urllib.request
from collections.abc import Iterable
from pathlib import Path

TOP = ("version", "protocol", "api_prefix", "enable_queue", "mode")
PROPS = (
    "name", "label", "value", "choices", "multiselect", "file_count", "file_types", "allow_custom_value",
    "minimum", "maximum", "type", "variant", "visible",
)  # fmt: skip
DEPENDENCY = (
    "id", "targets", "trigger", "api_name", "inputs", "outputs", "backend_fn", "queue", "batch", "show_api",
    "api_visibility", "trigger_after", "types",
)  # fmt: skip
PARAMETER = ("label", "parameter_name", "parameter_has_default", "parameter_default", "component")


def fetch(url: str) -> dict:
    with urllib.request.urlopen(url, timeout=30) as response:
        return json.load(response)


def only(row: dict, keys: tuple[str, ...]) -> dict:
    return {key: row[key] for key in keys if key in row}


def schema(kind: dict) -> dict:
    return {"type": kind.get("type"), "properties": {key: {} for key in kind.get("properties") or {}}}


def component(told: dict) -> dict:
    kept = only(told, ("id", "type", "skip_api")) | {"props": only(told["props"], PROPS)}
    kinds = (told.get("api_info_as_input"), told.get("api_info"))
    return kept | {"api_info_as_input": schema(next((kind for kind in kinds if kind), {}))}


def used(dependency: dict) -> set[int]:
    targets = [t[0] if isinstance(t, list) else t for t in dependency["targets"]]
    return {*dependency["inputs"], *dependency["outputs"], *targets}


def endpoints(told: dict) -> dict:
    return {
        name: {"parameters": [only(p, PARAMETER) | {"type": schema(p["type"])} for p in one["parameters"]]}
        for name, one in told.items()
    }


def trimmed(config: dict, info: dict | None) -> dict:
    """Both, cut down to what the adapter reads and a few things that it must ignore."""
    needed = set().union(*map(used, config["dependencies"]))
    kept = only(config, TOP)
    kept["components"] = [component(c) for c in config["components"] if c["id"] in needed]
    kept["dependencies"] = [only(d, DEPENDENCY) for d in config["dependencies"]]
    if info is None:
        return {"config": kept, "info": None}
    groups = ("named_endpoints", "unnamed_endpoints")
    return {"config": kept, "info": {group: endpoints(info.get(group, {})) for group in groups}}


def table(rows: Iterable[str], ends: str) -> str:
    return ends[0] + "\n" + ",\n".join(rows) + "\n" + ends[1]


def written(app: dict) -> str:
    """JSON with a line for each component, event and endpoint, so that a change is easy to see."""
    config, rows = app["config"], ("components", "dependencies")
    lines = [f'"{key}": {json.dumps(value)}' for key, value in config.items() if key not in rows]
    lines += [f'"{key}": {table(map(json.dumps, config[key]), "[]")}' for key in rows]
    groups = [
        f'"{group}": {table((f"{json.dumps(n)}: {json.dumps(e)}" for n, e in told.items()), "{}")}'
        for group, told in (app["info"] or {}).items()
    ]
    info = table(groups, "{}") if app["info"] is not None else "null"
    return f'{{"config": {table(lines, "{}")},\n"info": {info}}}'


def running(base: str) -> str:
    config = fetch(f"{base}/config")
    return written(trimmed(config, fetch(f"{base}{config.get('api_prefix', '')}/info")))


def saved(folder: Path, version: str, names: list[str]) -> str:
    apps = {name: json.loads((folder / f"{name}-{version}.json").read_text()) for name in names}
    return table((f'"{n}": {written(trimmed(a["config"], a["info"]))}' for n, a in apps.items()), "{}")


told = running(sys.argv[1]) if len(sys.argv) == 2 else saved(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
sys.stdout.write(told + "\n")
