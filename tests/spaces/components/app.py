import math
import tempfile
import time
import wave
from pathlib import Path

import gradio as gr


def greet(prompt):
    return f"Hello, {prompt}!"


def describe(data):
    """Names and types of a JSON object's fields."""
    return {name: type(value).__name__ for name, value in data.items()}


def double(number):
    return number * 2


def style(text, case, mark, repeat, strip):
    text = text.strip() if strip else text
    text = {"upper": text.upper(), "lower": text.lower(), "as it is": text}[case]
    return (text + {"!": "!", "?": "?", "none": ""}[mark]) * int(repeat)


def mirror(image):
    return image[:, ::-1]


def size(image):
    height, width = image.shape[:2]
    return f"{width} x {height}"


def tone(frequency):
    """One second of a sine wave."""
    path = Path(tempfile.mkdtemp()) / "tone.wav"
    samples = (int(9000 * math.sin(2 * math.pi * frequency * i / 8000)) for i in range(8000))
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(b"".join(sample.to_bytes(2, "little", signed=True) for sample in samples))
    return str(path)


def duration(audio):
    with wave.open(audio) as sound:
        return sound.getnframes() / sound.getframerate()


def first_line(file):
    return Path(file).read_text().splitlines()[0]


def number_lines(file):
    source = Path(file)
    target = Path(tempfile.mkdtemp()) / f"{source.stem}-numbered{source.suffix}"
    lines = source.read_text().splitlines()
    target.write_text("".join(f"{number}: {line}\n" for number, line in enumerate(lines, start=1)))
    return str(target)


def sizes(files):
    return {Path(file).name: Path(file).stat().st_size for file in files}


def split(text):
    """One file for each word."""
    folder = Path(tempfile.mkdtemp())
    paths = []
    for number, word in enumerate(text.split(), start=1):
        path = folder / f"word-{number}.txt"
        path.write_text(word)
        paths.append(str(path))
    return paths


def colours(image):
    """The red, the green and the blue of an image, each as a picture with a caption."""
    pictures = []
    for channel, name in enumerate(("red", "green", "blue")):
        picture = image.copy()
        for other in {0, 1, 2} - {channel}:
            picture[:, :, other] = 0
        pictures.append((picture, name))
    return pictures


def chat(message, history):
    history = [*(history or []), message]
    return f"{len(history)}: {message}", history


def count(text):
    """Streams a text word by word, as a language model does."""
    words = text.split()
    for number in range(1, len(words) + 1):
        time.sleep(0.05)
        yield " ".join(words[:number])


def several(text):
    return text.upper(), len(text), {"words": text.split()}


def fail(text):
    raise ValueError(f"cannot do {len(text)} letters")


with gr.Blocks(title="Components") as demo:
    gr.Markdown("# Components")
    visible = gr.State(False)

    with gr.Tab("Text"):
        prompt = gr.Textbox(label="Prompt")
        answer = gr.Textbox(label="Answer")
        with gr.Row():
            panel_button = gr.Button("Options")
            clear_button = gr.Button("Clear")
            greet_button = gr.Button("Greet", variant="primary")
            count_button = gr.Button("Count")
            chat_button = gr.Button("Chat")
            several_button = gr.Button("Several")
            fail_button = gr.Button("Fail")
        with gr.Column(visible=False) as panel:
            case = gr.Dropdown(["upper", "lower", "as it is"], value="upper", label="Case")
            mark = gr.Radio(["!", "?", "none"], value="!", label="Mark")
            repeat = gr.Slider(1, 5, value=1, step=1, label="Repeat")
            strip = gr.Checkbox(value=True, label="Strip")
            style_button = gr.Button("Style")
        history = gr.State([])

    with gr.Tab("Data"):
        data_in = gr.JSON(label="Data")
        data_out = gr.JSON(label="Result")
        describe_button = gr.Button("Describe")
        number_in = gr.Number(label="Number", value=21)
        number_out = gr.Number(label="Doubled")
        double_button = gr.Button("Double")

    with gr.Tab("Image"):
        image_in = gr.Image(label="Image")
        image_out = gr.Image(label="Mirrored", format="png")
        size_out = gr.Textbox(label="Size")
        gallery = gr.Gallery(label="Colours", format="png")
        mirror_button = gr.Button("Mirror")
        size_button = gr.Button("Size")
        colours_button = gr.Button("Colours")

    with gr.Tab("Audio"):
        frequency = gr.Slider(100, 2000, value=440, label="Frequency")
        audio_out = gr.Audio(label="Tone")
        tone_button = gr.Button("Tone")
        audio_in = gr.Audio(type="filepath", label="Sound")
        seconds = gr.Number(label="Seconds")
        duration_button = gr.Button("Duration")

    with gr.Tab("File"):
        file_in = gr.File(label="File")
        line = gr.Textbox(label="First line")
        file_out = gr.File(label="Numbered")
        line_button = gr.Button("First line")
        number_button = gr.Button("Number the lines")
        files_in = gr.File(label="Files", file_count="multiple")
        sizes_out = gr.JSON(label="Sizes")
        sizes_button = gr.Button("Sizes")
        files_out = gr.File(label="Words", file_count="multiple")
        split_button = gr.Button("Split")

    panel_button.click(
        lambda shown: (not shown, gr.update(visible=not shown)), visible, [visible, panel], api_name="toggle"
    )
    clear_button.click(lambda: ("", ""), None, [prompt, answer], api_name="clear")
    prompt.change(lambda text: text[:500], prompt, prompt)

    greet_button.click(greet, prompt, answer, api_name="greet")
    prompt.submit(greet, prompt, answer, api_name="greet")
    style_button.click(style, [prompt, case, mark, repeat, strip], answer, api_name="style")
    count_button.click(count, prompt, answer, api_name="count")
    chat_button.click(chat, [prompt, history], [answer, history], api_name="chat")
    several_button.click(several, prompt, [answer, number_out, data_out], api_name="several")
    fail_button.click(fail, prompt, answer, api_name="fail")

    describe_button.click(describe, data_in, data_out, api_name="describe")
    double_button.click(double, number_in, number_out, api_name="double")

    mirror_button.click(mirror, image_in, image_out, api_name="mirror")
    size_button.click(size, image_in, size_out, api_name="size")
    colours_button.click(colours, image_in, gallery, api_name="colours")

    tone_button.click(tone, frequency, audio_out, api_name="tone")
    duration_button.click(duration, audio_in, seconds, api_name="duration")

    line_button.click(first_line, file_in, line, api_name="first_line")
    number_button.click(number_lines, file_in, file_out, api_name="number_lines")
    sizes_button.click(sizes, files_in, sizes_out, api_name="sizes")
    split_button.click(split, prompt, files_out, api_name="split")

if __name__ == "__main__":
    demo.queue(default_concurrency_limit=4).launch()
