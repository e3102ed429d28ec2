import gradio as gr


def sign(guests, name):
    guests = [*guests, name]
    return guests, f"Welcome, {name}! You are guest number {len(guests)}."


with gr.Blocks() as demo:
    guests = gr.State([])
    name = gr.Textbox(label="Name")
    welcome = gr.Textbox(label="Welcome")
    gr.Button("Sign").click(sign, [guests, name], [guests, welcome], api_name="sign")

demo.launch()
