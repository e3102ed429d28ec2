"""Pipelines in YAML: what can be written, and what is said of what cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from spacedock.errors import BadRequestError, FileUnreadableError
from spacedock.pipelines.checking import PipelineError, check
from spacedock.pipelines.model import Pipeline, PipelineInput, Step
from spacedock.pipelines.reading import read_pipeline
from spacedock.pipelines.references import resolve
from spacedock.request import Fallback, JobRequest, Tier

GOOD = """\
name: meeting
description: What was said, in short
inputs:
  recording: file
  language: {type: text, default: German}
defaults: &usual
  timeout: 5m
steps:
  transcribe: {space: transcriber, files: "${{ inputs.recording }}", cache: true}
  summarise:
    category: text_processing
    prompt: |
      Summarise this:
      ${{ steps.transcribe.text }}
    timeout: 5m
    fallback: spaces
  translate:
    tier: fast
    when: ${{ inputs.language }} != 'English'
    prompt: "To ${{ inputs.language }}: ${{ steps.summarise.text }}"
outputs:
  summary: ${{ steps.translate.text || steps.summarise.text }}
""".replace("defaults: &usual\n  timeout: 5m\n", "")


def written(folder: Path, text: str, name: str = "p.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_pipeline_is_read(tmp_path: Path) -> None:
    pipeline = read_pipeline(written(tmp_path, GOOD))
    assert list(pipeline.steps) == ["transcribe", "summarise", "translate"]
    summarise = pipeline.steps["summarise"]
    assert (summarise.timeout, summarise.fallback) == (300.0, Fallback.SPACES)
    assert pipeline.steps["translate"].tier is Tier.FAST
    assert pipeline.steps["transcribe"].files == ("${{ inputs.recording }}",)


def test_names_have_letters_of_any_script(tmp_path: Path) -> None:
    text = """\
name: Umfrage
inputs: {tabelle: csv}
steps:
  gefühl: {tier: fast, for_each: "${{ inputs.tabelle }}", prompt: "${{ item.Straße }}"}
outputs: {größe: "${{ steps.gefühl.text }}"}
"""
    pipeline = read_pipeline(written(tmp_path, text))
    rows = pipeline.given({"tabelle": [{"Straße": "Hauptstraße"}]})
    (call,) = resolve(pipeline.steps["gefühl"], rows, {}).calls
    assert isinstance(call, JobRequest)
    assert call.prompt == "Hauptstraße"


def test_aliases_and_merges_are_read(tmp_path: Path) -> None:
    text = """\
name: p
steps:
  a: &usual {tier: fast, prompt: hello, timeout: 10}
  b:
    <<: *usual
    prompt: bye
"""
    steps = read_pipeline(written(tmp_path, text)).steps
    assert (steps["b"].prompt, steps["b"].timeout) == ("bye", 10)


def test_a_pipeline_of_another_file_is_read_beside_the_one_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    written(
        tmp_path,
        "name: inner\ninputs: {t: text}\nsteps: {a: {tier: fast, prompt: '${{ inputs.t }}'}}",
        "parts/i.yaml",
    )
    outer = "name: outer\nsteps: {x: {pipeline: parts/i.yaml, for_each: [a, b], inputs: {t: '${{ item }}'}}}"
    pipeline = read_pipeline(written(tmp_path, outer))
    assert isinstance(inner := pipeline.steps["x"].pipeline, Pipeline)
    assert inner.name == "inner"
    assert Pipeline.model_validate_json(pipeline.model_dump_json()) == pipeline


HEAD = "name: p\ninputs: {t: text, f: file, ff: files, l: list, c: csv, j: json}\nsteps:\n"
"""Three lines; what is wrong comes after them."""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("name: p\nsteps: [\n", "3:1: not YAML: ", id="no YAML"),
        pytest.param("- a\n", "1:1: no pipeline: it has no 'steps:'", id="a list"),
        pytest.param("", "1:1: no pipeline", id="empty"),
        pytest.param("steps: {a: {tier: fast, prompt: x}}\n", "1:1: 'name' is missing", id="no name"),
        pytest.param("name: p\n", "1:1: 'steps' is missing", id="no steps"),
        pytest.param("name: p\nsteps: {}\n", "2:1: steps: ", id="no step"),
        pytest.param(
            "name: p\nsteps:\n  - tier: fast\n", "2:1: steps: must be a mapping of names", id="steps as list"
        ),
        pytest.param(
            "name: p\nstep: {}\n", "2:1: step: unknown key 'step': did you mean 'steps'?", id="unknown key"
        ),
        pytest.param(
            HEAD + "  a:\n    tier: fast\n    promt: x\n",
            "6:5: steps.a.promt: unknown key 'promt': did you mean 'prompt'?",
            id="unknown key of a step",
        ),
        pytest.param(
            "name: p\ninputs:\n  t: {type: text, defalt: x}\nsteps: {a: {tier: fast, prompt: x}}\n",
            "3:19: inputs.t.defalt: unknown key 'defalt': did you mean 'default'?",
            id="unknown key of an input",
        ),
        pytest.param(
            "name: p\ninputs: {t: txt}\nsteps: {a: {tier: fast, prompt: x}}\n",
            "2:10: inputs.t: must be 'text', 'file', 'files', 'list', 'csv' or 'json'",
            id="unknown type",
        ),
        pytest.param(
            "name: p\ninputs: {l: {type: list, default: 5}}\nsteps: {a: {tier: fast, prompt: x}}\n",
            "2:10: inputs.l: ",
            id="a default of another type",
        ),
        pytest.param(
            HEAD + "  a: {tier: fast, prompt: x}\n  a: {tier: fast, prompt: y}\n",
            "5:3: 'a' is there twice",
            id="twins",
        ),
        pytest.param(HEAD + "\ta:\n", "4:1: a tab: indent with spaces", id="tab"),
        pytest.param(
            HEAD + "  a b: {tier: fast, prompt: x}\n",
            "4:3: steps.a b: must begin with a letter, and have letters",
            id="bad name",
        ),
        pytest.param(HEAD + "  a: {prompt: x}\n", "4:3: steps.a: a step runs just one of", id="no target"),
        pytest.param(
            HEAD + "  a: {space: s, tier: fast, prompt: x}\n",
            "4:3: steps.a: a step runs just one of",
            id="two targets",
        ),
        pytest.param(HEAD + "  a: {tier: slow, prompt: x}\n", "4:7: steps.a.tier: must be ", id="bad tier"),
        pytest.param(HEAD + "  a: {tier: fast}\n", "4:3: steps.a: it asks nothing", id="nothing asked"),
        pytest.param(
            HEAD + "  a: {space: 5, prompt: x}\n", "4:7: steps.a.space: must be a text", id="wrong YAML type"
        ),
        pytest.param(
            HEAD + "  a: {space: ../s, prompt: x}\n",
            "4:7: steps.a.space: '../s' is neither",
            id="no name of a Space",
        ),
        pytest.param(
            HEAD + "  a: {tier: fast, prompt: x, timeout: soon}\n",
            "4:30: steps.a.timeout: not a time",
            id="time",
        ),
        pytest.param(
            HEAD + "  a: {tier: fast, prompt: x, timeout: 0}\n", "4:30: steps.a.timeout: ", id="no time"
        ),
        pytest.param(
            HEAD + "  a: {tier: fast, prompt: x, cache: 5}\n", "4:30: steps.a.cache: must be true", id="flag"
        ),
        pytest.param(
            HEAD + "  a: {tier: fast, prompt: x, cache: true, privacy: true}\n",
            "4:3: steps.a: privacy keeps no answer",
            id="private",
        ),
        pytest.param(
            HEAD + "  a: {tier: fast, prompt: x, fallback: never}\n",
            "4:30: steps.a.fallback: ",
            id="fallback",
        ),
        pytest.param(
            HEAD + "  a:\n    tier: fast\n    prompt: |\n      say\n      ${{ inputs.x }}\n",
            "8:11: steps.a.prompt: there is no input 'x': there are t, f, ff, l, c, j",
            id="unknown input",
        ),
        pytest.param(
            HEAD + "  first: {tier: fast, prompt: x}\n  a: {tier: fast, prompt: '${{ steps.frist.text }}'}\n",
            "5:32: steps.a.prompt: there is no step 'frist': did you mean 'first'?",
            id="unknown step",
        ),
        pytest.param(
            HEAD + "  a: {tier: fast, prompt: '${{ steps.b.text }}'}\n  b: {tier: fast, prompt: x}\n",
            "4:32: steps.a.prompt: step 'b' comes later: move it before 'a'",
            id="later step",
        ),
        pytest.param(
            HEAD + "  a: {tier: fast, prompt: '${{ steps.c.text }}'}\n"
            "  b: {tier: fast, prompt: '${{ steps.a.text }}'}\n"
            "  c: {tier: fast, prompt: '${{ steps.b.text }}'}\n",
            "4:32: steps.a.prompt: steps wait for each other: a -> c -> b -> a",
            id="cycle",
        ),
        pytest.param(
            HEAD + "  a: {tier: fast, prompt: '${{ steps.a.text }}'}\n",
            "4:32: steps.a.prompt: steps wait for each other: a -> a",
            id="itself",
        ),
        pytest.param(
            HEAD + "  a: {tier: fast, prompt: 'x ${{ input.t }}'}\n",
            "4:34: steps.a.prompt: 'input.t' is nothing that can be looked up",
            id="bad reference",
        ),
        pytest.param(
            HEAD + "  a: {tier: fast, prompt: 'x ${{ inputs.t'}\n",
            "4:30: steps.a.prompt: '${{' is never closed: write '}}' behind it",
            id="open",
        ),
        pytest.param(
            HEAD + "  a: {tier: fast, prompt: x}\n  b: {tier: fast, prompt: '${{ steps.a.output }}'}\n",
            "5:32: steps.b.prompt: a step has no 'output': it has text, data, files",
            id="bad part",
        ),
        pytest.param(
            HEAD + "  a: {tier: fast, prompt: '${{ inputs.j#x }}'}\n",
            "4:40: steps.a.prompt: '#x' is no JSON pointer: it begins with '#/'",
            id="bad pointer",
        ),
        pytest.param(
            HEAD + "  a: {tier: fast, prompt: '${{ inputs.j#/a~b }}'}\n",
            "4:40: steps.a.prompt: '#/a~b' is no",
            id="tilde",
        ),
        pytest.param(
            HEAD + "  a: {tier: fast, prompt: '${{ inputs.t#/a }}'}\n",
            "4:32: steps.a.prompt: it is a text, which has no parts",
            id="pointer into a text",
        ),
        pytest.param(
            HEAD + "  a: {tier: fast, prompt: '${{ inputs.f }}'}\n",
            "4:32: steps.a.prompt: it is a file, which prompt does not take: hand it over by 'files'",
            id="file as prompt",
        ),
        pytest.param(
            HEAD + "  a: {space: s, files: '${{ inputs.t }}'}\n",
            "4:29: steps.a.files: it is a text, which files does not take",
            id="text as file",
        ),
        pytest.param(
            HEAD + "  a: {space: s, files: photo.png}\n",
            "4:17: steps.a.files: it must be one reference",
            id="path as file",
        ),
        pytest.param(
            HEAD + "  a: {tier: fast, prompt: x, for_each: '${{ inputs.t }}'}\n",
            "4:45: steps.a.for_each: it is a text, which for_each does not take: a step runs for each",
            id="fan-out over a text",
        ),
        pytest.param(
            HEAD + "  a: {tier: fast, prompt: x, for_each: 5}\n", "4:30: steps.a.for_each", id="over a number"
        ),
        pytest.param(
            HEAD + "  a: {tier: fast, prompt: '${{ item }}'}\n",
            "4:32: steps.a.prompt: there is an item only in a step that has 'for_each'",
            id="no item",
        ),
        pytest.param(
            HEAD + "  a: {tier: fast, prompt: x, when: inputs.t = 'x'}\n",
            "4:36: steps.a.when: the condition cannot be read at 'inputs.t = 'x'': write",
            id="bad condition",
        ),
        pytest.param(
            HEAD + "  a: {tier: fast, prompt: x, when: __import__('os')}\n",
            "4:36: steps.a.when: the condition cannot be read at '__import__('os')': write",
            id="code as condition",
        ),
        pytest.param(
            HEAD + "  a: {tier: fast, prompt: x}\noutputs: {o: '${{ steps.b.text }}'}\n",
            "5:19: outputs.o: there is no step 'b': there are a",
            id="unknown output",
        ),
        pytest.param(HEAD + "  a: {pipeline: none.yaml}\n", "4:7: steps.a.pipeline: ", id="no such pipeline"),
        pytest.param(
            HEAD + "  a: {pipeline: p.yaml}\n",
            "4:7: steps.a.pipeline: a pipeline cannot be in itself: p.yaml -> p.yaml",
            id="a pipeline in itself",
        ),
        pytest.param(
            HEAD + "  a: {pipeline: inner.yaml, prompt: x, inputs: {t: x, f: '${{ inputs.f }}'}}\n",
            "4:3: steps.a: a pipeline takes inputs alone: prompt goes to its own steps",
            id="a prompt for a pipeline",
        ),
        pytest.param(
            HEAD + "  a: {pipeline: inner.yaml, inputs: {t: x, g: y}}\n",
            "4:44: steps.a.inputs.g: pipeline inner has no input 'g': there are t, f",
            id="unknown input of a pipeline",
        ),
        pytest.param(
            HEAD + "  a: {pipeline: inner.yaml, inputs: {t: x}}\n",
            "4:3: steps.a: pipeline inner needs",
            id="missing",
        ),
        pytest.param(
            HEAD + "  a: {pipeline: inner.yaml, inputs: {t: x, f: '${{ inputs.t }}'}}\n",
            "4:52: steps.a.inputs.f: input 'f' of pipeline inner is of type file, and this is a text",
            id="a text as a pipeline's file",
        ),
        pytest.param(
            HEAD
            + "  a: &a [x, x, x, x, x, x, x, x]\n"
            + "".join(
                f"  a{n}: &a{n} [{', '.join(['*a' + (str(n - 1) if n else '')] * 8)}]\n" for n in range(9)
            ),
            "1:1: over 20,000 values, with those that its aliases (*) repeat",
            id="bomb",
        ),
        pytest.param("name: p\nsteps: &s\n  a: *s\n", "1:1: over 20,000 values", id="endless"),
        pytest.param("name: " + "[" * 900 + "]" * 900 + "\n", "1:", id="deep"),
        pytest.param(
            HEAD + "".join(f"  a{n}: {{tier: fast, prompt: x}}\n" for n in range(101)),
            "3:1: steps: ",
            id="too many steps",
        ),
        pytest.param(
            HEAD + "  a: {tier: fast, prompt: x, inputs: {d: 2024-13-45}}\n",
            "1:1: not readable",
            id="no date",
        ),
    ],
)
def test_a_bad_pipeline_is_told_with_its_line_and_column(tmp_path: Path, text: str, told: str) -> None:
    path = written(tmp_path, text)
    inner = "name: inner\ninputs: {t: text, f: file}\nsteps: {i: {space: s, files: '${{ inputs.f }}'}}"
    written(tmp_path, inner, "inner.yaml")
    with pytest.raises(BadRequestError) as caught:
        read_pipeline(path)
    assert f"{path}:{told}" in str(caught.value)


def test_everything_that_is_wrong_is_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        HEAD + "  a: {tier: fast, prompt: '${{ inputs.x }}'}\n  b: {space: s, files: '${{ inputs.t }}'}\n",
    )
    with pytest.raises(BadRequestError) as caught:
        read_pipeline(path)
    assert str(caught.value) == (
        f"pipeline {path} has 2 problems, and cannot run:\n"
        f"  {path}:4:32: steps.a.prompt: there is no input 'x': there are t, f, ff, l, c, j\n"
        f"  {path}:5:29: steps.b.files: it is a text, which files does not take: "
        "it goes into the prompt or an input"
    )


def test_pipelines_that_are_in_each_other_are_refused(tmp_path: Path) -> None:
    written(tmp_path, "name: a\nsteps:\n  x: {pipeline: b.yaml}\n", "a.yaml")
    written(tmp_path, "name: b\nsteps:\n  y:\n    pipeline: a.yaml\n", "b.yaml")
    with pytest.raises(BadRequestError, match=r"b.yaml:4:5: .*itself: a.yaml -> b.yaml -> a.yaml"):
        read_pipeline(tmp_path / "a.yaml")


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.yaml"):
        with pytest.raises(FileUnreadableError):
            read_pipeline(path)
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(FileUnreadableError, match="UTF-8"):
        read_pipeline(tmp_path / "bytes.yaml")


def test_a_pipeline_from_python_is_checked_too() -> None:
    inner = Pipeline(name="inner", steps={"a": Step(tier="fast", prompt="${{ inputs.gone }}")})
    with pytest.raises(
        BadRequestError, match=r"steps\.x\.pipeline\.steps.a.prompt: there is no input 'gone'"
    ):
        check(Pipeline(name="outer", steps={"x": Step(pipeline=inner)}))


def test_steps_of_pipelines_in_a_pipeline_count_too() -> None:
    steps = {f"s{n}": Step(tier="fast", prompt="x") for n in range(60)}
    inner = Pipeline(name="inner", steps=steps)
    with pytest.raises(BadRequestError, match="122 steps"):
        check(Pipeline(name="outer", steps={"x": Step(pipeline=inner), "y": Step(pipeline=inner)}))


def test_of_the_problems_of_a_stranger_the_first_are_told() -> None:
    inputs = {f"a_name_that_is_like_{number:04}": PipelineInput(type="text") for number in range(90)}
    prompt = "${{ inputs.a_name_that_is_like_none }}" * 200
    steps = {f"s{number}": Step(tier="fast", prompt=prompt) for number in range(100)}
    with pytest.raises(PipelineError) as caught:
        check(Pipeline(name="p", inputs=inputs, steps=steps))
    assert len(caught.value.problems) == 20
    assert "pipeline p has over 20 problems" in str(caught.value)


def test_a_text_has_so_many_references_at_most() -> None:
    with pytest.raises(ValueError, match="over 200 references"):
        Step(tier="fast", prompt="${{ inputs.a }}" * 201)


def test_of_thousands_of_problems_the_first_are_told(tmp_path: Path) -> None:
    text = GOOD + "".join(f"key_{number}: 1\n" for number in range(6000))
    with pytest.raises(BadRequestError) as caught:
        read_pipeline(written(tmp_path, text))
    assert str(caught.value).count("unknown key") == 100
