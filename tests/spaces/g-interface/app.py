import gradio as gr


def shout(text):
    return text.upper() + "!"


demo = gr.Interface(fn=shout, inputs="text", outputs="text", title="Shout")

demo.launch()
