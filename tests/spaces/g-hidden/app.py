import gradio as gr

asked = []


def answer(question):
    asked.append(question)
    return f"The answer to '{question}' is 42."


def forget():
    asked.clear()


with gr.Blocks() as demo:
    question = gr.Textbox(label="Question")
    reply = gr.Textbox(label="Answer")
    ask_button = gr.Button("Ask", variant="primary")
    forget_button = gr.Button("Forget")

    forget_button.click(forget, None, None, api_name=False)
    ask_button.click(answer, question, reply, api_name=False)

demo.launch()
