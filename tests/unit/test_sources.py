"""Reading batches: JSONL, CSV, text, directories and standard input, each line with its number."""

from __future__ import annotations

import io
import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacedock.batching.line_request import RequestMaker
from spacedock.batching.sources.line import BadLine, BadLinesError, BatchLine
from spacedock.batching.sources.row import SourceOptions
from spacedock.batching.sources.source import open_source
from spacedock.errors import BadRequestError

BOM = b"\xef\xbb\xbf"


def lines_of(where: str, stdin: bytes = b"", labels: tuple[str, ...] = ()) -> list[BatchLine]:
    """A whole batch. Raises BadLinesError with all that is wrong."""
    source = open_source(where, SourceOptions(labels=labels), io.BytesIO(stdin))
    lines = list(source.lines())
    if bad := [line for line in lines if isinstance(line, BadLine)]:
        raise BadLinesError(source.name, [f"{source.unit} {line.number}: {line.problem}" for line in bad])
    return [line for line in lines if isinstance(line, BatchLine)]


def read(folder: Path, name: str, content: str | bytes) -> list[BatchLine]:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return lines_of(str(path))


def read_stdin(content: bytes) -> list[BatchLine]:
    return lines_of("-", content)


def prompts(lines: list[BatchLine]) -> list[tuple[int, Any]]:
    return [(line.number, line.fields.get("prompt")) for line in lines]


def problems(folder: Path, name: str, content: str | bytes) -> list[str]:
    with pytest.raises(BadLinesError) as caught:
        read(folder, name, content)
    return caught.value.problems


def test_jsonl_lines_are_objects_or_strings(tmp_path: Path) -> None:
    lines = read(tmp_path, "a.jsonl", '{"prompt": "one", "space": "s"}\n\n"three"')
    assert lines == [BatchLine(1, (), {"prompt": "one", "space": "s"}), BatchLine(3, (), {"prompt": "three"})]


@pytest.mark.parametrize("key", ["file", "files"])
def test_jsonl_names_files(tmp_path: Path, key: str) -> None:
    (tmp_path / "a.png").touch()
    lines = read(tmp_path, "a.jsonl", json.dumps({key: "a.png"}))
    assert lines == [BatchLine(1, (f"{tmp_path}/a.png",), {})]


def test_a_null_is_a_field_that_is_not_given(tmp_path: Path) -> None:
    row = {"prompt": "x", "space": None, "inputs": None, "file": None, "timeout": None}
    assert read(tmp_path, "a.jsonl", json.dumps(row)) == [BatchLine(1, (), {"prompt": "x"})]


def test_every_malformed_line_is_told_with_its_number(tmp_path: Path) -> None:
    told = problems(tmp_path, "a.jsonl", '{"prompt": "fine"}\n{"prompt": \n\n[1]\n{"promt": "x"}\n7\n')
    assert [line.split(":")[0] for line in told] == ["line 2", "line 4", "line 5", "line 6"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "not JSON"),
        ("nul", "not JSON"),
        ("[" * 100_000, "line 1"),
        ("null", "not a prompt"),
        ('{"promt": "x"}', "unknown key 'promt': did you mean 'prompt'?"),
        ('{"prompt": "x", "row": 7}', "unknown key 'row'. Known: "),
        ('{"repository": "/etc"}', "unknown key 'repository'"),
        ('{"idempotency_key": "x"}', "unknown key 'idempotency_key'"),
        ('{"prompt": "x", "files": [1]}', "'files' is not a path or a list of paths"),
        ('{"prompt": "x", "files": {"a": 1}}', "'files' is not a path or a list of paths"),
        ('{"prompt": "x", "space": 5}', "'space' is not a string"),
        ('{"prompt": "x", "inputs": [1]}', "'inputs' is not an object"),
        ('{"prompt": "x", "inputs": "a=b"}', "'inputs' is not an object"),
    ],
)
def test_what_is_wrong_with_a_line_is_told(tmp_path: Path, line: str, words: str) -> None:
    assert words in problems(tmp_path, "a.jsonl", line)[0]


def test_a_long_list_of_problems_is_cut(tmp_path: Path) -> None:
    with pytest.raises(BadLinesError, match="and 90 more"):
        read(tmp_path, "a.jsonl", "{\n" * 100)


def test_csv_columns_are_fields_a_file_and_inputs(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).touch()
    lines = read(tmp_path, "a.csv", "prompt,file,timeout,steps\nhello,a.png,5,4\n,b.png,,\n")
    assert lines == [
        BatchLine(2, (f"{tmp_path}/a.png",), {"prompt": "hello", "timeout": "5", "inputs": {"steps": "4"}}),
        BatchLine(3, (f"{tmp_path}/b.png",), {}),
    ]


def test_csv_cells_may_hold_commas_and_line_ends(tmp_path: Path) -> None:
    assert prompts(read(tmp_path, "a.csv", 'prompt\n"a, b\nc"\nd\n')) == [(2, "a, b\nc"), (4, "d")]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("prompt,prompt\nx,y\n", "line 1: the column 'prompt' comes twice"),
        ("prompt\nx,y\n", "line 2: more cells than the header"),
        ("Prompt,prompt\nx,y\n", "line 1: the column 'prompt' comes twice"),
        ("\n\nprompt\nx,y\n", "line 4: more cells"),
        ('prompt\na\n"x\n\nb\nc\n', "line 3: a quote opens in this row and never closes"),
        ('prompt\n"x"y\n', "line 2: text follows a closing quote. Double"),
        ('prompt\n"x\n"y"\n', "line 2: text follows a closing quote, in the next line. Double the quotes"),
        ('"prompt\n', "line 1: a quote opens in this row and never closes"),
    ],
)
def test_what_is_wrong_with_a_csv_is_told(tmp_path: Path, content: str, words: str) -> None:
    with pytest.raises(BadRequestError, match=re.escape(words)):
        read(tmp_path, "a.csv", content)


def test_text_has_a_prompt_a_line(tmp_path: Path) -> None:
    assert prompts(read(tmp_path, "a.txt", " one \n\ntwo")) == [(1, "one"), (3, "two")]


def test_text_is_counted_as_an_editor_counts(tmp_path: Path) -> None:
    text = "one\u2028still one\x0cand\x85one\ntwo\r\nthree"
    assert prompts(read(tmp_path, "a.txt", text)) == [
        (1, "one\u2028still one\x0cand\x85one"),
        (2, "two"),
        (3, "three"),
    ]


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.jsonl", b'{"prompt": "x"}'), ("a.csv", b"prompt\r\nx\r\n"), ("a.txt", b"x\r\n"), ("a", b'"x"')],
)
def test_a_byte_order_mark_is_no_part_of_a_prompt(tmp_path: Path, name: str, content: bytes) -> None:
    assert [prompt for _, prompt in prompts(read(tmp_path, name, BOM + content))] == ["x"]


@pytest.mark.parametrize("content", [b'{"prompt": "x"}\n', b'"x"', b"x\n", BOM + b'{"prompt": "x"}'])
def test_standard_input_is_jsonl_or_text(content: bytes) -> None:
    assert prompts(read_stdin(content)) == [(1, "x")]


def test_standard_input_that_is_no_text_is_told() -> None:
    with pytest.raises(BadRequestError, match=r"line 1: not UTF-8 text \(column 2 is the byte FF\)"):
        read_stdin(b"x\xff")


@pytest.mark.parametrize(
    ("byte", "encoding"), [(b"\xe9", "LATIN1"), (b"\x92", "WINDOWS-1252")], ids=["latin", "windows"]
)
def test_a_file_that_is_no_text_is_told(tmp_path: Path, byte: bytes, encoding: str) -> None:
    with pytest.raises(
        BadRequestError, match=rf"line 2: not UTF-8 text \(column 4 .*`iconv -f {encoding} -t UTF-8`"
    ):
        read(tmp_path, "a.csv", b"prompt\ncaf" + byte + b"\n")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"BZh91AY&SY", "is compressed, no list of prompts: unpack it"),
        (b"PK\x03\x04\x14\0\x06\0\x08\0\0\0", "is an Excel workbook or a zip file"),
        (b"PAR1\x15\x04\x15\xc0", "write it as CSV or JSON Lines"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\r", "give their directory, or use `spacedock run --file`"),
        (b"ELF\0" * 3 + b"\0\1\2", r"is no text \(NUL at byte 3\)"),
    ],
)
def test_what_is_no_list_of_prompts_is_told_with_what_to_do(
    tmp_path: Path, content: bytes, words: str
) -> None:
    with pytest.raises(BadRequestError, match=words):
        read(tmp_path, "a.csv", content)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
def test_a_marked_encoding_is_read(tmp_path: Path, encoding: str) -> None:
    assert prompts(read(tmp_path, "a.csv", "prompt\nGrüße\n".encode(encoding))) == [(2, "Grüße")]


@pytest.mark.parametrize("encoding", ["UTF-16LE", "UTF-16BE", "UTF-32LE", "UTF-32BE"])
def test_a_wide_encoding_without_its_mark_is_told(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(BadRequestError, match=f"without its byte order mark.*iconv -f {encoding} "):
        read(tmp_path, "a.txt", "hello\n".encode(encoding))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tsv", "id\tprompt\n1\thello\n"),
        ("a.csv", "id;prompt\n1;hello\n"),
        ("a.csv", "id\tprompt\n1\thello\n"),
        ("a.csv", "ID , Prompt\n1,hello\n"),
        ("a", '"id","prompt"\n1,hello\n'),
        ("a.jsonl", '\n{"id": 1, "prompt": "hello"}'),
    ],
)
def test_a_row_keeps_its_id_as_a_label(tmp_path: Path, name: str, content: str) -> None:
    (line,) = read(tmp_path, name, content)
    assert line == BatchLine(2, (), {"prompt": "hello", "labels": {"id": "1"}}, id="1")


@pytest.mark.parametrize(("header", "label"), [("", "column 1"), ("Unnamed: 0", "Unnamed: 0")])
def test_columns_without_a_name_are_labels(tmp_path: Path, header: str, label: str) -> None:
    lines = read(tmp_path, "a.csv", f"{header},prompt\n0,hello\n")
    assert lines == [BatchLine(2, (), {"prompt": "hello", "labels": {label: "0"}})]


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.csv", "note,prompt\nn,x\n"), ("a.jsonl", '\n{"note": "n", "prompt": "x"}')],
)
def test_what_only_describes_a_line_can_be_kept_as_a_label(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    lines = lines_of(str(tmp_path / name), labels=("note",))
    assert lines == [BatchLine(2, (), {"prompt": "x", "labels": {"note": "n"}})]


@pytest.mark.parametrize("before", ["sep=;\n", "\n"])
def test_what_excel_writes_before_a_header_is_no_part_of_it(tmp_path: Path, before: str) -> None:
    lines = read(tmp_path, "a.csv", f"{before}PROMPT;steps\nhello;4\n;\n")
    assert lines == [BatchLine(3, (), {"prompt": "hello", "inputs": {"steps": "4"}})]


def test_a_table_needs_no_prompt(tmp_path: Path) -> None:
    lines = read(tmp_path, "a.csv", "Age,Sex,Smoker\n40,male,true\n")
    assert lines == [BatchLine(2, (), {"inputs": {"Age": "40", "Sex": "male", "Smoker": "true"}})]


def test_a_cell_may_be_long(tmp_path: Path) -> None:
    long = "x" * 200_000
    assert prompts(read(tmp_path, "a.csv", f"prompt\n{long}\n")) == [(2, long)]


@pytest.mark.parametrize("content", [b"prompt\nx\n", b"id,prompt\n7,x\n", b"file;prompt\n;x\n"])
def test_standard_input_may_be_a_table(content: bytes) -> None:
    assert prompts(read_stdin(content)) == [(2, "x")]


@pytest.mark.parametrize("content", [b"describe this, file\n", b"a, b; c\n", b"prompts\n"])
def test_a_text_with_commas_is_no_table(content: bytes) -> None:
    assert prompts(read_stdin(content)) == [(1, content.decode().strip())]


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a"])
def test_an_array_is_a_job_for_each_item(tmp_path: Path, name: str) -> None:
    lines = read(tmp_path, name, '[\n {"prompt": "hello"},\n "world"\n]\n')
    assert prompts(lines) == [(1, "hello"), (2, "world")]


def test_one_object_over_many_lines_is_one_job(tmp_path: Path) -> None:
    assert prompts(read(tmp_path, "a.json", '{\n "prompt": "hello"\n}\n')) == [(1, "hello")]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"prompt": "x", "inputs": {"a": NaN}}', "line 1: not JSON: NaN is no number"),
        ('{"prompt": "x", "inputs": {"a": -Infinity}}', "line 1: not JSON: -Infinity"),
        ('{"prompt": "x", "inputs": {"a": 1e999}}', "line 1: the number 1e999 is too large"),
        ('{"prompt": "x", "prompt": "y"}', "line 1: the key 'prompt' comes twice"),
        ('[\n {"prompt": "x"},\n {"prompt"}\n]', "line 3: not JSON: Expecting ':' delimiter at column 11"),
        ('[\n {"prompt": "x"},\n 7\n]', "item 2: not a prompt"),
    ],
)
def test_json_that_others_would_refuse_is_told(tmp_path: Path, content: str, words: str) -> None:
    assert problems(tmp_path, "a.jsonl", content)[0].startswith(words)


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        ('{"prompt": "x",}', "take the last comma out"),
        ('[{"prompt": "x"}, ]', "take the last comma out"),
        ('{"prompt": "x"},', "no comma between them"),
        ("# prompts", "JSON has no comments"),
        ("  // prompts", "JSON has no comments"),
        ("{'prompt': 'x'}", 'stand in "double quotes"'),
        ('{"prompt": "x", "privacy": True}', "write true, false or null"),
        ("describe this", "name the file .txt"),
    ],
)
def test_a_usual_fault_of_json_is_told_with_its_remedy(tmp_path: Path, content: str, hint: str) -> None:
    assert hint in problems(tmp_path, "a.jsonl", content)[0]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"custom_id": "r", "method": "POST", "body": {"messages": []}}', "or give a 'prompt'"),
        ('{"messages": [{"role": "user", "content": "x"}]}', "or give a 'prompt'"),
        ('{"text": "x"}', "unknown key 'text': the prompt's key is 'prompt'"),
        ('{"prompt": "x", "id": [7]}', "'id' is not a text or a number"),
        ('{"rows": [{"prompt": "x"}]}', "the lines are under 'rows'"),
    ],
)
def test_a_line_of_another_tool_is_told_with_what_to_write(tmp_path: Path, line: str, words: str) -> None:
    assert words in problems(tmp_path, "a.jsonl", line)[0]


def test_labels_that_are_numbers_are_kept_as_text(tmp_path: Path) -> None:
    (line,) = read(tmp_path, "a.jsonl", '{"prompt": "x", "labels": {"row": 2}}')
    assert line.fields["labels"] == {"row": "2"}


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.jsonl", "\n\n", "is empty"),
        ("a.txt", " \n", "is empty"),
        ("a.csv", "", "is empty"),
        ("a.csv", BOM, "is empty"),
        ("a.csv", "prompt\n", "there is no prompt in it, only a header"),
        ("a.csv", "prompt,note\n,\n\n", "only a header"),
        ("a.json", "[]", "only an empty array"),
    ],
)
def test_a_batch_without_a_prompt_is_told(
    tmp_path: Path, name: str, content: str | bytes, words: str
) -> None:
    with pytest.raises(BadRequestError, match=words):
        read(tmp_path, name, content)


def test_standard_input_with_nothing_in_it_is_told() -> None:
    with pytest.raises(BadRequestError, match="standard input is empty: give a prompt on each line"):
        read_stdin(b"")


def test_a_directory_is_its_files_in_order(tmp_path: Path) -> None:
    for name in ("b.png", "a.png", ".hidden"):
        (tmp_path / name).touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "c.png").symlink_to("a.png")
    lines = lines_of(str(tmp_path))
    assert lines == [BatchLine(n, (f"{tmp_path}/{name}.png",)) for n, name in enumerate("abc", 1)]


def test_a_directory_without_a_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadRequestError, match=r"there is no file in it$"):
        lines_of(str(tmp_path))
    (tmp_path / "below").mkdir()
    with pytest.raises(BadRequestError, match="those in directories below it need --recursive"):
        lines_of(str(tmp_path))


@given(st.binary(max_size=200), st.sampled_from([".jsonl", ".csv", ".txt", ""]))
def test_no_bytes_whatever_end_in_anything_but_lines_or_an_error_of_ours(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, suffix: str
) -> None:
    path = tmp_path_factory.getbasetemp() / f"any{suffix}"
    path.write_bytes(content)
    with suppress(BadRequestError):
        for line in lines_of(str(path)):
            RequestMaker({"batch": True}).make(line)
