"""The components that tests/spaces/components does not have; every function gives its input back."""

import gradio as gr

NEW = int(gr.__version__.split(".")[0]) >= 6
HIDDEN = {"api_visibility": "undocumented"} if NEW else {"show_api": False}
PRIVATE = {"api_visibility": "private"} if NEW else {"api_name": False}


def first(value, *rest):
    return value


def second(state, text):
    return text


with gr.Blocks() as demo:
    text = gr.Textbox(label="Result")
    state = gr.State(0)

    def endpoint(name, function, inputs, output=text, **more):
        gr.Button(name).click(function, inputs, output, **({"api_name": name} | more))

    endpoint("watch", first, gr.Video(label="Clip"), gr.Video())
    endpoint("look", first, gr.Gallery(label="Pictures"), gr.Gallery())
    endpoint("ask", lambda query: query["text"], gr.MultimodalTextbox(label="Query"))
    endpoint("paint", lambda drawing: drawing["composite"], gr.ImageEditor(label="Drawing"), gr.Image())
    endpoint("compare", first, [gr.Image(label="Left"), gr.Image(label="Right")], gr.Image())
    words = gr.Textbox(label="Words", value="A voice says")
    endpoint("speak", first, [gr.Audio(label="Voice"), words], gr.Audio())
    endpoint("read", first, gr.File(label="Paper", file_types=[".pdf", "image"]), gr.File())
    endpoint("remember", second, [state, gr.Textbox(label="Note")])
    endpoint("join", first, [gr.Textbox(label="One"), gr.Textbox(label="Two")])
    endpoint("pick", first, [gr.Dropdown([("Blue", "b"), ("Red", "r")], label="Colours", multiselect=True)])
    endpoint("judge", lambda text: {"good": 0.75, "bad": 0.25}, gr.Textbox(label="Text"), gr.Label())
    endpoint("hidden", first, gr.Textbox(label="Text"), **HIDDEN)
    endpoint("private", first, gr.Textbox(label="Text"), **PRIVATE)

demo.launch()
