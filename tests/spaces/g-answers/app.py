import altair
import bokeh.plotting
import gradio as gr
import matplotlib
import pandas
import plotly.graph_objects
from PIL import Image

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def lengths(text):
    return pandas.DataFrame([{"word": word, "letters": len(word)} for word in text.split()])


def by_matplotlib(text):
    figure = plt.figure(figsize=(3, 2))
    plt.bar(lengths(text)["word"], lengths(text)["letters"])
    return figure


def by_plotly(text):
    table = lengths(text)
    return plotly.graph_objects.Figure(
        plotly.graph_objects.Bar(x=list(table["word"]), y=list(table["letters"]))
    )


def by_altair(text):
    return altair.Chart(lengths(text)).mark_bar().encode(x="word", y="letters")


def by_bokeh(text):
    figure = bokeh.plotting.figure(width=300, height=200)
    figure.line(list(range(len(text.split()))), list(lengths(text)["letters"]))
    return figure


def square(text):
    return Image.new("RGB", (len(text), len(text)), "teal")


def written(text, name):
    path = f"/tmp/{name}"
    with open(path, "w") as file:
        file.write(text)
    return path


def chat(message, history):
    if message == "table":
        return gr.Dataframe([[1, 2], [3, 4]], headers=["a", "b"])
    if message == "thoughts":
        thought = gr.ChatMessage(content="hm", metadata={"title": "Thinking"})
        return [thought, gr.ChatMessage(content="done")]
    if message == "plot":
        return gr.Plot(by_matplotlib("a bb"))
    if message == "fail":
        raise ValueError("no words for it")
    return [f"{message} {len(history)}", gr.Image(square(message))]


FUNCTIONS = {
    "matplotlib": (by_matplotlib, gr.Plot),
    "plotly": (by_plotly, gr.Plot),
    "altair": (by_altair, gr.Plot),
    "bokeh": (by_bokeh, gr.Plot),
    "lines": (lengths, lambda: gr.LinePlot(x="word", y="letters")),
    "bars": (lengths, lambda: gr.BarPlot(x="word", y="letters")),
    "marked": (
        lambda text: [(word, "long" if len(word) > 3 else None) for word in text.split()],
        gr.HighlightedText,
    ),
    "entities": (
        lambda text: {
            "text": text,
            "entities": [{"entity": "FIRST", "start": 0, "end": len(text.split()[0])}],
        },
        gr.HighlightedText,
    ),
    "difference": (lambda text: [(text[:1], "-"), (text[1:], "+")], gr.HighlightedText),
    "dialogue": (
        lambda text: [{"speaker": "A", "text": text}, {"speaker": "B", "text": text[::-1]}],
        lambda: gr.Dialogue(speakers=["A", "B"]),
    ),
    "gallery": (lambda text: [(square(word), word) for word in text.split()], gr.Gallery),
    "annotated": (lambda text: (square(text), [((0, 0, 2, 2), "corner")]), gr.AnnotatedImage),
    "label": (lambda text: {word: 1 / len(text.split()) for word in text.split()}, gr.Label),
    "sure": (lambda text: text, gr.Label),
    "model": (lambda text: written("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", "shape.obj"), gr.Model3D),
    "download": (lambda text: written(text, "words.txt"), lambda: gr.DownloadButton("Download")),
    "multimodal": (
        lambda text: {"text": text.upper(), "files": [written(text, "words.txt")]},
        lambda: gr.MultimodalTextbox(interactive=False),
    ),
    "slider": (lambda text: gr.ImageSlider(value=(square(text), square(text * 2))), gr.ImageSlider),
    "code": (lambda text: f"print({text!r})", lambda: gr.Code(language="python")),
    "json": (lambda text: {"words": text.split()}, gr.JSON),
    "page": (lambda text: f"<p>Dear <b>{text}</b></p>", gr.HTML),
    "checks": (lambda text: text.split(), lambda: gr.CheckboxGroup(["one", "three"])),
    "colour": (lambda text: "#008080", gr.ColorPicker),
    "when": (lambda text: 0, lambda: gr.DateTime(timezone="UTC")),
    "params": (lambda text: {"x": {"type": "int", "description": text, "default": "1"}}, gr.ParamViewer),
}

with gr.Blocks() as demo:
    words = gr.Textbox(label="Words")
    for name, (function, component) in FUNCTIONS.items():
        gr.Button(name).click(function, words, component(), api_name=name)
    with gr.Tab("Chat"):
        gr.ChatInterface(chat, api_name="chat")

demo.launch()
