import gradio as gr


def answer_question(image, question):
    width, height = image.size
    if "size" in question.lower():
        return f"It is {width} by {height} pixels."
    if "colour" in question.lower():
        red, green, blue = image.convert("RGB").resize((1, 1)).getpixel((0, 0))
        return "It is mostly " + max((red, "red"), (green, "green"), (blue, "blue"))[1] + "."
    return f"I do not know: {question}"


image = gr.Image(type="pil", label="Image")
question = gr.Textbox(label="Question")
answer = gr.Textbox(label="Predicted answer")

demo = gr.Interface(fn=answer_question, inputs=[image, question], outputs=answer, title="Ask a picture")

demo.launch()
