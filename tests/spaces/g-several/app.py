import gradio as gr


def report(text):
    words = text.split()
    details = {"longest": max(words, key=len), "lengths": [len(word) for word in words]}
    return f"{words[0]} … {words[-1]}", len(words), details


demo = gr.Interface(
    fn=report,
    inputs=gr.Textbox(label="Text", lines=5),
    outputs=[gr.Textbox(label="Summary"), gr.Number(label="Words"), gr.JSON(label="Details")],
    title="Text report",
)

demo.launch()
