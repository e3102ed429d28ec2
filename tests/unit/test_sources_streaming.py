"""Sources are read a line at a time: a broken line leaves the others alone, and memory has a bound."""

from __future__ import annotations

import gzip
import io
import json
import os
import threading
import tracemalloc
from itertools import islice
from pathlib import Path

import pytest

from spacedock.batching.sources.line import BadLine, BatchLine
from spacedock.batching.sources.row import SourceOptions
from spacedock.batching.sources.source import Source, open_source
from spacedock.batching.sources.text import MAX_LINE
from spacedock.errors import BadRequestError, FileUnreadableError

PLAIN = SourceOptions()


def opened(folder: Path, name: str, content: str | bytes, options: SourceOptions = PLAIN) -> Source:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return open_source(str(path), options)


def told(source: Source) -> list[tuple[int, str]]:
    """Of each line its prompt, or what is wrong with it."""
    return [
        (line.number, line.problem if isinstance(line, BadLine) else line.fields.get("prompt", ""))
        for line in source.lines()
    ]


@pytest.mark.parametrize(
    ("name", "content", "form", "as_named"),
    [
        ("a.jsonl", '{"prompt": "x"}\n', "JSON Lines", True),
        ("a.json", '[{"prompt": "x"}]', "JSON array", True),
        ("a.csv", "prompt,note\nx,\n", "table separated by commas", True),
        ("a.csv", "prompt;note\nx;\n", "table separated by semicolons", False),
        ("a.tsv", "prompt\nx\n", "table separated by tabs", True),
        ("a.csv", "prompt|note\nx|\n", "table separated by '|'", False),
        ("a.txt", "x\n", "text, a prompt a line", True),
        ("a", '"x"\n', "JSON Lines", False),
        ("a.csv", "prompt\nx\n".encode("utf-16"), "table separated by commas, UTF-16", False),
        ("a.jsonl.gz", gzip.compress(b'"x"\n', mtime=0), "JSON Lines, gzip", False),
        ("a.csv.gz", gzip.compress("prompt\nx\n".encode("utf-16"), mtime=0), "commas, UTF-16, gzip", False),
    ],
)
def test_the_form_is_recognised_and_told_where_the_name_does_not_say_it(
    tmp_path: Path, name: str, content: str | bytes, form: str, as_named: bool
) -> None:
    source = opened(tmp_path, name, content)
    assert source.form.endswith(form)
    assert source.is_as_named is as_named
    assert [prompt for _, prompt in told(source)] == ["x"]
    assert source.rereadable
    assert [prompt for _, prompt in told(source)] == ["x"]


def test_a_line_goes_on_before_the_next_one_is_written() -> None:
    reading, writing = os.pipe()
    with open(reading, "rb") as pipe, open(writing, "wb", buffering=0) as producer:
        producer.write(b"one\n")
        source = open_source("-", PLAIN, pipe)
        lines = source.lines()
        assert next(lines) == BatchLine(1, fields={"prompt": "one"})
        producer.write(b"two\n")
        assert next(lines) == BatchLine(2, fields={"prompt": "two"})
    assert not source.rereadable


def test_a_named_pipe_is_read_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.csv")
    producer = threading.Thread(target=lambda: (tmp_path / "a.csv").write_text("prompt\nx\n"))
    producer.start()
    source = open_source(str(tmp_path / "a.csv"), PLAIN)
    assert (told(source), source.rereadable) == ([(2, "x")], False)
    producer.join()


def test_a_long_source_takes_no_more_memory_than_a_short_one() -> None:
    class Endless(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: memoryview) -> int:
            line = b'{"prompt": "hello"}\n'
            buffer[: len(line)] = line
            return len(line)

    lines = open_source("-", PLAIN, io.BufferedReader(Endless())).lines()
    next(lines)
    tracemalloc.start()
    try:
        assert next(islice(lines, 10_000, None))
        assert tracemalloc.get_traced_memory()[1] < 2**19
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["a.jsonl", "a.txt"])
def test_a_line_over_the_bound_is_told_and_the_next_is_read(tmp_path: Path, name: str) -> None:
    source = opened(tmp_path, name, b'"a"\n"' + b"x" * (MAX_LINE + 100_000) + b'"\n"b"\n')
    first, second, third = source.lines()
    assert isinstance(second, BadLine)
    assert "longer than 32 MB: give what is large as a file" in second.problem
    assert len(second.text) <= 200
    assert [line.number for line in (first, second, third)] == [1, 2, 3]
    assert isinstance(third, BatchLine)


def test_a_line_of_some_megabytes_is_read(tmp_path: Path) -> None:
    (line,) = opened(tmp_path, "a.jsonl", json.dumps({"prompt": "x" * 3_000_000})).lines()
    assert isinstance(line, BatchLine)
    assert len(line.fields["prompt"]) == 3_000_000


def test_a_json_array_over_the_bound_is_told_with_the_remedy(tmp_path: Path) -> None:
    content = b"[\n" + b'"' + b"x" * 2**20 + b'",\n'
    with pytest.raises(BadRequestError, match=r"over 32 MB: write JSON Lines \(`jq -c"):
        told(opened(tmp_path, "a.json", content * 40))


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.jsonl", b'"a"\n{\n"b"\n', [(1, "a"), (2, "not JSON: "), (3, "b")]),
        ("a.jsonl", b'"a"\n"caf\xe9"\n"b"\n', [(1, "a"), (2, "not UTF-8 text (column 5 "), (3, "b")]),
        ("a.txt", b"a\ncaf\xe9\nb\n", [(1, "a"), (2, "not UTF-8 text (column 4 is the byte E9)"), (3, "b")]),
        ("a.txt", b"a\nb\0c\nd\n", [(1, "a"), (2, "a NUL byte at column 2"), (3, "d")]),
        ("a.csv", b"prompt\na\nb\0c\nd\n", [(2, "a"), (3, "a NUL byte at column 2"), (4, "d")]),
        ("a.csv", b"prompt\na\nb,c\nd\n", [(2, "a"), (3, "more cells than"), (4, "d")]),
        ("a.csv", b'prompt\na\n"b"c\nd\n', [(2, "a"), (3, "text follows a closing quote"), (4, "d")]),
        ("a.json", b'["a", 7, "b"]', [(1, "a"), (2, "not a prompt"), (3, "b")]),
    ],
)
def test_the_lines_around_a_broken_one_are_read(
    tmp_path: Path, name: str, content: bytes, expected: list[tuple[int, str]]
) -> None:
    lines = told(opened(tmp_path, name, content))
    assert [number for number, _ in lines] == [number for number, _ in expected]
    for (_, words), (_, beginning) in zip(lines, expected, strict=True):
        assert words.startswith(beginning)


def test_nothing_is_taken_for_a_row_behind_a_quote_that_does_not_close(tmp_path: Path) -> None:
    lines = list(opened(tmp_path, "a.csv", 'prompt\na\n"b\nc\n"d" e\nf\n').lines())
    assert lines[0] == BatchLine(2, (), {"prompt": "a"})
    assert lines[1:] == [BadLine(3, '"b\nc\n"d" e\n', lines[1].problem)]  # type: ignore[union-attr]
    assert "2 lines further on. Double the quotes" in lines[1].problem  # type: ignore[union-attr]
    assert "what follows was not read" in lines[1].problem  # type: ignore[union-attr]


def test_a_quote_that_never_closes_does_not_fill_the_memory(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('prompt\na\n"b\n' + "no quote in here\n" * 400_000)
    (first, second) = told(open_source(str(tmp_path / "a.csv"), PLAIN))
    assert first == (2, "a")
    assert second[1] == "over 4 MB, or a quote in it never closes. What follows it was not read"


def test_a_broken_line_keeps_its_text_for_whoever_mends_it(tmp_path: Path) -> None:
    (line,) = opened(tmp_path, "a.jsonl", '{"promt": "x"}\n').lines()
    assert isinstance(line, BadLine)
    assert line.text == '{"promt": "x"}'


def test_utf_16_that_breaks_off_is_told(tmp_path: Path) -> None:
    lines = told(opened(tmp_path, "a.txt", "one\ntwo\n".encode("utf-16")[:-1]))
    assert lines[0] == (1, "one")
    assert "not whole UTF-16 text" in lines[-1][1]


def test_gzip_that_breaks_off_is_told(tmp_path: Path) -> None:
    packed = gzip.compress(b"".join(b"%d and more\n" % number for number in range(50_000)), mtime=0)
    source = opened(tmp_path, "a.txt.gz", packed[: len(packed) // 2])
    with pytest.raises(FileUnreadableError, match=r"a\.txt\.gz: it breaks off"):
        told(source)


def test_a_file_that_vanishes_between_two_readings_is_told(tmp_path: Path) -> None:
    source = opened(tmp_path, "a.txt", "x\n")
    (tmp_path / "a.txt").unlink()
    with pytest.raises(FileUnreadableError, match="No such file"):
        told(source)


@pytest.mark.parametrize("separator", [";", "\t", "|", "tab", r"\t", "~"])
def test_the_separator_can_be_named(tmp_path: Path, separator: str) -> None:
    between = "\t" if separator.endswith("t") or separator == "tab" else separator
    content = f"a,b{between}prompt\n1,2{between}x\n"
    (line,) = opened(tmp_path, "a.txt", content, SourceOptions(separator=separator)).lines()
    assert line == BatchLine(2, (), {"prompt": "x", "inputs": {"a,b": "1,2"}})


@pytest.mark.parametrize("separator", ["", ";;", '"', "\n"])
def test_a_separator_that_cannot_be_one_is_refused(tmp_path: Path, separator: str) -> None:
    with pytest.raises(BadRequestError, match="is not one character"):
        opened(tmp_path, "a.csv", "prompt\nx\n", SourceOptions(separator=separator))


@pytest.mark.parametrize("empty", ["", "NaN", "nan", "<NA>"])
def test_a_cell_without_a_value_is_left_out(tmp_path: Path, empty: str) -> None:
    (line,) = opened(tmp_path, "a.csv", f"prompt,steps,id\nx,{empty},{empty}\n").lines()
    assert line == BatchLine(2, (), {"prompt": "x"})


@pytest.mark.parametrize(
    ("name", "content", "options"),
    [
        ("a.csv", "id,prompt\n7,x\n", PLAIN),
        ("a.csv", "custom_id,prompt\n7,x\n", PLAIN),
        ("a.csv", "sku,prompt\n7,x\n", SourceOptions(id_column="sku")),
        ("a.jsonl", '\n{"id": 7, "prompt": "x"}', PLAIN),
        ("a.jsonl", '\n{"custom_id": "7", "prompt": "x"}', PLAIN),
        ("a.jsonl", '\n{"sku": "7", "prompt": "x"}', SourceOptions(id_column="sku")),
    ],
)
def test_a_line_keeps_the_callers_id(tmp_path: Path, name: str, content: str, options: SourceOptions) -> None:
    (line,) = opened(tmp_path, name, content, options).lines()
    assert line == BatchLine(2, (), {"prompt": "x", "labels": {"id": "7"}}, id="7")


@pytest.mark.parametrize("options", [SourceOptions(id_column="sku"), SourceOptions(file_columns=("sku",))])
def test_a_column_that_is_not_there_is_told(tmp_path: Path, options: SourceOptions) -> None:
    with pytest.raises(BadRequestError, match=r"no column 'sku'\. There are: id, prompt"):
        told(opened(tmp_path, "a.csv", "id,prompt\n7,x\n", options))
    with pytest.raises(BadRequestError, match="no line has 'sku', which an option names"):
        told(opened(tmp_path, "a.jsonl", '"x"', options))


def test_labels_that_no_line_has_are_told(tmp_path: Path) -> None:
    source = opened(tmp_path, "a.csv", "note,prompt\nn,x\n", SourceOptions(labels=("note", "nota")))
    told(source)
    assert source.remarks == ["--label nota: no line has that column or key"]


OPENAI = {
    "custom_id": "request-1",
    "method": "POST",
    "url": "/v1/chat/completions",
    "body": {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello!"}]},
}
ANTHROPIC = {"custom_id": "request-1", "params": OPENAI["body"]}


@pytest.mark.parametrize("row", [OPENAI, ANTHROPIC], ids=["OpenAI", "Anthropic"])
def test_a_request_of_another_api_is_recognised(
    tmp_path: Path, row: dict[str, object], request: pytest.FixtureRequest
) -> None:
    source = opened(tmp_path, "a.jsonl", json.dumps(row) + '\n{"custom_id": "2", "params": {}}\n"x"\n')
    assert source.form == f"{request.node.callspec.id}'s batch format"
    assert source.asks_models
    line, broken, own = source.lines()
    assert isinstance(line, BatchLine)
    assert (line.id, line.fields["prompt"], line.fields["labels"]) == (
        "request-1",
        "Hello!",
        {"id": "request-1"},
    )
    assert line.asked is not None
    assert source.remarks[0].startswith("gpt-4o-mini: no Space, category or alias here, so 'auto' was asked")
    assert isinstance(broken, BadLine)
    assert own == BatchLine(3, (), {"prompt": "x"})


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A batch's directory that is not the one where the command runs."""
    (here := tmp_path / "here").mkdir()
    (there := tmp_path / "there").mkdir()
    monkeypatch.chdir(here)
    return there


@pytest.mark.parametrize(
    ("name", "content", "options"),
    [
        ("a.jsonl", '{"file": "x.png"}', PLAIN),
        ("a.jsonl", '{"files": ["x.png"]}', PLAIN),
        ("a.jsonl", '{"photo": "x.png"}', SourceOptions(file_columns=("photo",))),
        ("a.csv", "file\nx.png\n", PLAIN),
        ("a.csv", "photo\nx.png\n", SourceOptions(file_columns=("photo",))),
    ],
)
def test_files_are_relative_to_the_batch_file(
    elsewhere: Path, name: str, content: str, options: SourceOptions
) -> None:
    (elsewhere / "x.png").touch()
    (line,) = opened(elsewhere, name, content, options).lines()
    assert isinstance(line, BatchLine)
    assert (line.files, line.fields) == ((f"{elsewhere}/x.png",), {})


def test_spaces_around_a_cell_are_no_part_of_a_quote_or_a_path(elsewhere: Path) -> None:
    (elsewhere / "x.png").touch()
    (line,) = opened(elsewhere, "a.csv", 'id, "prompt", file\n7, "x, y", x.png \n').lines()
    assert isinstance(line, BatchLine)
    assert (line.fields["prompt"], line.files) == ("x, y", (f"{elsewhere}/x.png",))


def test_several_columns_may_name_files(elsewhere: Path) -> None:
    for name in ("x.png", "y.png"):
        (elsewhere / name).touch()
    options = SourceOptions(file_columns=("after", "before"))
    (line,) = opened(elsewhere, "a.csv", "before,prompt,after\nx.png,compare,y.png\n", options).lines()
    assert isinstance(line, BatchLine)
    assert [Path(file).name for file in line.files] == ["x.png", "y.png"]


def test_a_file_that_is_only_where_the_command_runs_is_told(elsewhere: Path) -> None:
    Path("x.png").touch()
    ((_, problem),) = told(opened(elsewhere, "a.jsonl", '{"file": "x.png"}'))
    assert problem == (
        f"there is no file x.png in {elsewhere}, where the batch is, "
        "but in the directory you are in: write ../here/x.png"
    )


def test_what_cannot_be_sent_as_a_file_is_told_for_its_line(elsewhere: Path) -> None:
    os.mkfifo(elsewhere / "pipe")
    (elsewhere / "folder").mkdir()
    (elsewhere / "gone").symlink_to("nowhere")
    (elsewhere / "loop").symlink_to("loop")
    with (elsewhere / "huge").open("wb") as file:
        file.truncate(65 * 2**20)
    names = ["pipe", "folder", "gone", "loop", "huge", "/dev/zero", "a\0b", "none", "http://x.example/a.png"]
    rows = "".join(json.dumps({"file": name}) + "\n" for name in names)
    problems = [problem for _, problem in told(opened(elsewhere, "a.jsonl", rows))]
    words = ["not a regular file", "is a directory", "a link to what is not there", "symbolic links"]
    words += ["over the limit of 64 MB", "not a regular file", "is no path", "there is no file none"]
    words += ["not fetched: download it"]
    for problem, expected in zip(problems, words, strict=True):
        assert expected in problem


TABLE = "text,lang\nHallo,de\n"


@pytest.mark.parametrize(
    ("name", "content", "template", "prompt"),
    [
        ("a.csv", TABLE, "Translate {text} from {lang}.", "Translate Hallo from de."),
        ("a.csv", TABLE, '{{"{lang}": "{ text }"}}', '{"de": "Hallo"}'),
        ("a.csv", "text,lang\nHallo,\n", "{lang}: {text}", ": Hallo"),
        ("a.csv", "id,prompt\n7,x\n", "{id}: {prompt}", "7: x"),
        ("a.csv", "Review text\nFine\n", "{Review text}!", "Fine!"),
        ("a.jsonl", '\n{"text": "{lang}", "lang": "de"}', "{text} {lang}", "{lang} de"),
        ("a.jsonl", '\n{"n": 1.50, "tags": ["ä"], "none": null}', "{n} {tags} {none}", '1.5 ["ä"] '),
        ("a.txt", "\nx\n", "Say {prompt}", "Say x"),
    ],
)
def test_a_template_makes_prompts_of_columns(
    tmp_path: Path, name: str, content: str, template: str, prompt: str
) -> None:
    (line,) = opened(tmp_path, name, content, SourceOptions(template=template)).lines()
    assert isinstance(line, BatchLine)
    assert (line.number, line.fields["prompt"]) == (2, prompt)
    assert "inputs" not in line.fields


@pytest.mark.parametrize(
    ("name", "content", "template", "words"),
    [
        (
            "a.csv",
            TABLE,
            "{txt}",
            r"line 1: the template names 'txt', which is not there. There are: lang, text",
        ),
        ("a.jsonl", '{"text": "x"}', "{txt}", r"line 1: the template names 'txt', .* There are: text"),
        ("a.txt", "x\n", "{txt}", r"line 1: the template names 'txt', .* There are: prompt"),
        ("a.csv", "prompt,text\na,b\n", "{text}", r"a prompt, which the template leaves out: put \{prompt\}"),
        ("a.csv", "id,text\n1,\n", "Sum up: {text}", "line 2: nothing for the template: text is empty here"),
        ("a.csv", TABLE, '{"t": {text}}', r"Double those that are meant as braces: \{\{ and \}\}"),
        ("a.csv", TABLE, "{}", "braces hold the name of a column"),
        ("a.csv", TABLE, "}", "braces hold the name of a column"),
        ("a.csv", TABLE, "text", "names no column"),
        ("a.jsonl", json.dumps(OPENAI), "{body}", "leave --template out"),
    ],
)
def test_a_template_that_does_not_fit_is_told(
    tmp_path: Path, name: str, content: str, template: str, words: str
) -> None:
    def read() -> None:
        source = opened(tmp_path, name, content, SourceOptions(template=template))
        raise BadRequestError("\n".join(f"line {number}: {problem}" for number, problem in told(source)))

    with pytest.raises(BadRequestError, match=words):
        read()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    for name in ("b.png", "a.jpg", "deep/c.png", "deep/er/d.png", ".hidden.png"):
        (tmp_path / name).touch()
    (tmp_path / "deep" / "again").symlink_to(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (PLAIN, ["a.jpg", "b.png"]),
        (SourceOptions(glob="*.png"), ["b.png"]),
        (SourceOptions(recursive=True), ["a.jpg", "b.png", "deep/c.png", "deep/er/d.png"]),
        (SourceOptions(recursive=True, glob="*.png"), ["b.png", "deep/c.png", "deep/er/d.png"]),
        (SourceOptions(glob="**/*.png"), ["b.png", "deep/c.png", "deep/er/d.png"]),
        (SourceOptions(recursive=True, glob="er/*"), ["deep/er/d.png"]),
    ],
)
def test_a_directory_gives_the_files_that_are_asked_for(
    pictures: Path, options: SourceOptions, names: list[str]
) -> None:
    lines = list(open_source(str(pictures), options).lines())
    assert [line.files for line in lines if isinstance(line, BatchLine)] == [
        (f"{pictures}/{n}",) for n in names
    ]
    assert [line.number for line in lines] == list(range(1, len(names) + 1))


def test_a_pattern_that_no_file_matches_is_told_with_one_that_is_there(pictures: Path) -> None:
    with pytest.raises(BadRequestError, match=r"no file of it matches '\*\.gif'. There is a\.jpg, for one"):
        told(open_source(str(pictures), SourceOptions(glob="*.gif")))


def test_what_is_no_file_in_a_directory_is_told_and_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a")
    (tmp_path / "b").symlink_to("b")
    (tmp_path / "c").symlink_to("/dev/zero")
    (tmp_path / "d").touch()
    lines = list(open_source(str(tmp_path), PLAIN).lines())
    assert [isinstance(line, BadLine) for line in lines] == [True, True, True, False]


def test_a_name_that_is_not_utf_8_is_read_and_may_stand_in_a_prompt(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    (tmp_path / name).touch()
    (line,) = open_source(str(tmp_path), SourceOptions(template="What is {stem}?")).lines()
    assert line == BatchLine(1, (f"{tmp_path}/{name}",), {"prompt": "What is caf??"})


@pytest.mark.parametrize(
    ("name", "options", "option"),
    [
        ("a.csv", SourceOptions(glob="*"), "--glob"),
        ("a.csv", SourceOptions(recursive=True), "--recursive"),
        ("a.txt", SourceOptions(id_column="id"), "--id-column"),
        (".", SourceOptions(file_columns=("file",)), "--file-column"),
        (".", SourceOptions(separator=";"), "--separator"),
    ],
)
def test_an_option_that_does_nothing_here_is_refused(
    tmp_path: Path, name: str, options: SourceOptions, option: str
) -> None:
    for file in ("a.csv", "a.txt"):
        (tmp_path / file).write_text("prompt\nx\n")
    with pytest.raises(BadRequestError, match=f"^{option}: "):
        open_source(str(tmp_path / name), options)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"id": "' + "i" * 201 + '"}', "its id has 201 characters: at most 200 will do"),
        ('{"file": "data:image/png;base64,AAAA"}', "write the data to a file"),
        ('{"steps": 1' + "0" * 5000 + "}", "is too large"),
        ('{"' + "k" * 5000 + '": 1}', "kkk…'. Known:"),
        ('{\n"prompt": "x"\n}', "an object stands on one line: `jq -c .`"),
    ],
)
def test_an_odd_line_is_told_in_few_words(tmp_path: Path, content: str, words: str) -> None:
    _, problem = told(opened(tmp_path, "a.jsonl", content))[0]
    assert words in problem
    assert len(problem) < 600


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<!DOCTYPE html>\n<html>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "`git lfs pull`"),
    ],
)
def test_what_a_download_leaves_in_place_of_a_file_is_told(
    tmp_path: Path, content: bytes, words: str
) -> None:
    with pytest.raises(BadRequestError, match=words):
        opened(tmp_path, "a.csv", content)


def test_files_that_were_put_together_have_marks_in_the_middle(tmp_path: Path) -> None:
    content = "".join(f'\ufeff"{word}"\n' for word in ("a", "b"))
    assert told(opened(tmp_path, "a.jsonl", content)) == [(1, "a"), (2, "b")]


def test_a_pattern_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRequestError, match=r"--glob '\.' is no pattern of names"):
        told(open_source(str(tmp_path), SourceOptions(glob=".")))


def test_a_batch_without_a_name_is_not_the_directory_where_the_command_runs() -> None:
    with pytest.raises(BadRequestError, match="is a variable of the shell empty"):
        open_source("", PLAIN)
