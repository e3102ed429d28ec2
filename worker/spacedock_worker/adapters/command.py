"""Spaces that are programs: a call as one run's input, and what the run left as the answer (pure)."""

from __future__ import annotations

import json
from pathlib import PurePosixPath
from typing import Any

from spacedock.files import Payload, payload_of
from spacedock.result import ErrorKind, Stage
from spacedock_worker.adapters.app_json import may_fit, parsed
from spacedock_worker.adapters.base import AppAnswer, AppCall
from spacedock_worker.adapters.names import safe_name, unique_name
from spacedock_worker.containers.docker.log_tail import last_words
from spacedock_worker.containers.docker.task import (
    INPUT_FOLDER,
    OUTPUT_FOLDER,
    OUTPUT_TEXT,
    WORKSPACE,
    Captured,
    Completed,
    Task,
)
from spacedock_worker.errors import StepError

INPUT_TEXT = "input.txt"
INPUTS_FILE = "inputs.json"

# Linux takes 255 bytes; a number may be added.
_NAME_BYTES = 240
# Linux takes 128 KB for one variable, and refuses to start the program for more.
_ENV_BYTES = 32 * 2**10
_ERROR_LINES = 20
_STDERR_CHARS = 2000
_LEADING = 1000


def task_of(call: AppCall, timeout: float = 300.0, *, private: bool = False) -> Task:
    """The run that answers a call, in at most `timeout` seconds.

    The prompt is in stdin and input.txt, the files are in input/, the inputs in inputs.json; the variables
    SPACEDOCK_PROMPT_FILE, …_INPUT_DIR, …_OUTPUT_DIR and …_OUTPUT_FILE say where; SPACEDOCK_INPUTS holds the
    inputs where they are short enough (32 KB of JSON) and not `private`: the engine shows a container's
    variables to whoever asks it. Raises StepError `bad_input` where the call names an
    endpoint.
    """
    if call.endpoint is not None:
        message = "this Space is a program that runs once: it has no endpoints. Leave `endpoint` out."
        raise StepError(Stage.CALL, ErrorKind.BAD_INPUT, message)
    prompt = call.prompt.encode("utf-8", "replace")
    inputs = json.dumps(dict(call.inputs))
    env = {
        "SPACEDOCK_PROMPT_FILE": f"{WORKSPACE}/{INPUT_TEXT}",
        "SPACEDOCK_INPUT_DIR": f"{WORKSPACE}/{INPUT_FOLDER}",
        "SPACEDOCK_OUTPUT_DIR": f"{WORKSPACE}/{OUTPUT_FOLDER}",
        "SPACEDOCK_OUTPUT_FILE": f"{WORKSPACE}/{OUTPUT_TEXT}",
    }
    if len(inputs) <= _ENV_BYTES and not private:
        env["SPACEDOCK_INPUTS"] = inputs
    files = {INPUT_TEXT: prompt, INPUTS_FILE: inputs.encode(), **_input_files(call.files)}
    return Task(stdin=prompt, files=files, env=env, timeout=timeout)


def answer_of(completed: Completed) -> AppAnswer:
    """The answer that a run left: output.txt or else stdout, and the files of output/.

    `data` has it as `output` (parsed where it is a JSON object or array), with `exit_code` and the end of
    `stderr`. Raises StepError `app_error` where the program failed.
    """
    if completed.exit_code != 0:
        raise _failed(completed)
    found = completed.text or completed.stdout
    text = _decoded(found).rstrip("\r\n")
    files = _output_files(completed)
    data = {
        "output": text if found.truncated else _parsed(text),
        "exit_code": completed.exit_code,
        "stderr": _decoded(completed.stderr)[-_STDERR_CHARS:],
    }
    shown = None if files and not text else text
    return AppAnswer(endpoint=None, text=shown, data=data, files=files, truncated=found.truncated)


def _input_files(files: tuple[Payload, ...]) -> dict[str, bytes]:
    taken: set[str] = set()
    return {f"{INPUT_FOLDER}/{unique_name(_fitting(file.ref.name), taken)}": file.data for file in files}


def _output_files(completed: Completed) -> tuple[Payload, ...]:
    """The files by names that tell their folders, since a file of a result has a name and no path."""
    taken: set[str] = set()
    names = (unique_name(safe_name(path.replace("/", "-")), taken) for path, _ in completed.files)
    return tuple(payload_of(name, data) for name, (_, data) in zip(names, completed.files, strict=True))


def _fitting(name: str) -> str:
    """`name` as Linux takes it."""
    safe = safe_name(name)
    if len(safe.encode()) <= _NAME_BYTES:
        return safe
    suffix = PurePosixPath(safe).suffix[:20]
    return safe.encode()[: _NAME_BYTES - len(suffix.encode())].decode("utf-8", "ignore") + suffix


def _failed(completed: Completed) -> StepError:
    said = last_words([_decoded(completed.stderr)], _ERROR_LINES)
    said = said or last_words([_decoded(completed.stdout)], _ERROR_LINES)
    message = f"the program ended with exit code {completed.exit_code}."
    message += f" It said:\n{said}" if said else " It said nothing."
    return StepError(Stage.CALL, ErrorKind.APP_ERROR, message)


def _decoded(captured: Captured) -> str:
    return captured.data.decode("utf-8", "replace")


def _parsed(text: str) -> Any:
    """The object or array that the text is in JSON; else the text, as where it holds too many values."""
    if not text[:_LEADING].lstrip().startswith(("{", "[")) or not may_fit(text):
        return text
    try:
        return parsed(text)
    except StepError:
        return text
