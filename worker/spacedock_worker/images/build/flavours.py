"""The base images of Gradio Spaces and their two flavours: what the full one adds, and who needs it (pure).

Slim has what most Spaces count on. Full has what the Hub's own base image has besides: compilers, headers and
some Python packages.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

from spacedock_worker.images.build.repository import Repository
from spacedock_worker.images.oci.reference import familiar

PYTHON_PACKAGES = ("datasets", "protobuf<4")
"""What the Hub's base image has before Gradio. Its `click<8.1` contradicts them."""

BESIDE_GRADIO = ("spaces", "hf-transfer", "websockets>=10.4")
"""What the Hub installs with Gradio, in both flavours."""

_LOOKED_AT_FILES, _LOOKED_AT_BYTES = 200, 128 * 1024
_LAST_CHARS = 16_000
"""Of what an app said: it may have said any amount."""

_TOOL = r"(?:gcc|g\+\+|cc|c\+\+|cmake|node)"
_ANY_TOOL = rf"(?:{_TOOL}|convert|magick|autoconf|automake|autoreconf|libtoolize)"
_MODULE = r"(?:datasets|pyarrow|dill|multiprocess|xxhash|aiohttp|requests|google|google\.protobuf)"

_RUNS_OTHERS = re.compile(r"\b(?:subprocess\b|os\.system\b|popen\b|which\(|find_spec\(|import_module\()")
_NAMES_IT = re.compile(rf"[\"'](?:{_TOOL}|datasets|pyarrow)[\"']|[\"';&|] ?{_TOOL} [-./\w]")
_COMPILES = re.compile(r"\b(?:cpp_extension|load_inline|pyximport)\b|\btorch\.compile\(")
_SCRIPT = re.compile(rf"(?:^|[;&|])[ \t]*{_TOOL}(?![\w+.-])", re.MULTILINE)

_LACKS = re.compile(
    # A package that pip found no wheel of, and could not build.
    r"Failed building wheel|Failed to build installable wheels|Could not build wheels"
    r"|subprocess-exited-with-error|metadata-generation-failed"
    # What shells, Python, CMake, meson and PyTorch say of a tool that is not there.
    rf"|(?<![\w+-]){_ANY_TOOL}['\"]?: (?:command )?not found"
    rf"|No such file or directory: b?['\"](?:[\w./-]*/)?{_ANY_TOOL}['\"]"
    rf"|command ['\"][\w.-]*{_TOOL}['\"] failed|Failed to find C compiler|No working C\+\+ compiler"
    r"|Unknown compiler\(s\)|CMAKE_C(?:XX)?_COMPILER|Python\.h: No such|ImageMagick is not installed"
    rf"|No module named ['\"]?{_MODULE}['\"]?(?![\w.])|No package metadata was found for datasets"
    r"|Descriptors cannot (?:not )?be created directly"
)


def asks_for_full(repository: Repository) -> bool:
    """Whether the repository's code looks for what only the full flavour has.

    An import is not looked for: a requirement may bring it, and its failure at the start tells better.
    """
    return any(
        _SCRIPT.search(text) if script else _COMPILES.search(text) or _calls_a_tool(text)
        for script, text in _code(repository)
    )


def lacks_full(said: str) -> bool:
    """Whether a build, a start or a call that said this may have failed for want of the full flavour."""
    return _LACKS.search(said[-_LAST_CHARS:]) is not None


def _calls_a_tool(text: str) -> bool:
    return bool(_RUNS_OTHERS.search(text) and _NAMES_IT.search(text))


def _code(repository: Repository) -> Iterator[tuple[bool, str]]:
    """The beginnings of the Python files and shell scripts; whether each is a script."""
    found = [file for file in repository.files if file.path.endswith((".py", ".sh")) and not file.link]
    for file in found[:_LOOKED_AT_FILES]:
        with file.open() as content:
            text = content.read(_LOOKED_AT_BYTES).decode("utf-8", errors="replace")
        yield file.path.endswith(".sh"), text


HUB_PYTHON = "3.10"
"""The Python that the Hub takes where a Space declares none."""

_VERSION = re.compile(r"(\d+)\.(\d+)")
_LOCAL = re.compile(r"(?:spacedock/python:(\d+\.\d+)|python:(\d+\.\d+)-slim)")
_MINORS = range(6, 21)
"""Of the versions of Python 3 that a base image on this host may have."""


def base_names(configured: Mapping[str, str]) -> frozenset[str]:
    """The names that a base image on this host may have.

    Asking an engine for each takes it milliseconds; it lists a thousand images in seconds.
    """
    versions = [f"3.{number}" for number in _MINORS]
    local = [name for v in versions for name in (f"spacedock/python:{v}", f"python:{v}-slim")]
    return frozenset([*configured.values(), *local])


def choose_base(declared: str | None, configured: Mapping[str, str], present: Collection[str]) -> str:
    """The reference of the base image for the declared Python version ("3.11", "3.11.4"; None: undeclared).

    A declared version is taken from `configured`, else the local `spacedock/python`, else Docker Hub's
    `python:…-slim`. With none declared, an image that is `present` wins over one to pull: the one nearest
    to the Hub's default. A local image is called as the engine calls it.
    """
    names = {familiar(reference): reference for reference in present}
    if version := minor(declared):
        return _for_version(version, configured, names)
    default = _for_version(HUB_PYTHON, configured, names)
    if familiar(default) in names:
        return default
    local = [(_distance(v), reference) for v, reference in _local(configured, names) if minor(v)]
    return min(local)[1] if local else default


def minor(version: str | None) -> str | None:
    """The "3.11" of "3.11.4", "python3.11"; None where there is no such thing in it."""
    found = _VERSION.search(version or "")
    return f"{found.group(1)}.{found.group(2)}" if found else None


def _for_version(version: str, configured: Mapping[str, str], names: Mapping[str, str]) -> str:
    """The reference; `names` are those of the images on this host, by their familiar ones."""
    if version in configured:
        return configured[version]
    hub = f"python:{version}-slim"
    return names.get(f"spacedock/python:{version}") or names.get(hub, hub)


def _local(configured: Mapping[str, str], names: Mapping[str, str]) -> list[tuple[str, str]]:
    own = [(version, reference) for version, reference in configured.items() if familiar(reference) in names]
    if own:
        return own
    found = ((_LOCAL.fullmatch(short), reference) for short, reference in names.items())
    return [(match.group(1) or match.group(2), reference) for match, reference in found if match]


def _distance(version: str) -> int:
    major, _, small = (minor(version) or "0.0").partition(".")
    ours, _, default = HUB_PYTHON.partition(".")
    return abs(int(major) - int(ours)) * 1000 + abs(int(small) - int(default))
