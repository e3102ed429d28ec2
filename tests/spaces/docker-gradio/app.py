import gradio as gr


def reverse(text):
    return text[::-1]


demo = gr.Interface(fn=reverse, inputs="text", outputs="text", title="Reverse", api_name="reverse")

demo.launch(server_name="0.0.0.0", server_port=7861)
