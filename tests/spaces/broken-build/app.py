import gradio as gr
import vaderSentiment

gr.Interface(fn=lambda text: vaderSentiment.__name__, inputs="text", outputs="text").launch()
