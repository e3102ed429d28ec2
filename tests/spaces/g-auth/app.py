import gradio as gr


def greet(name):
    return f"Welcome to the club, {name}."


demo = gr.Interface(greet, gr.Textbox(label="Name"), gr.Textbox(label="Greeting"))

demo.launch(auth=("ada", "lovelace"))
