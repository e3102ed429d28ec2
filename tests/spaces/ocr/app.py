import gradio as gr
from rapidocr_onnxruntime import RapidOCR

engine = RapidOCR()


def read_text(image):
    if image is None:
        raise gr.Error("Please upload an image first.")
    # Gradio gives RGB, the engine expects OpenCV's BGR.
    result, _ = engine(image[:, :, ::-1])
    if not result:
        return ""
    return "\n".join(text for _box, text, _score in result)


demo = gr.Interface(
    fn=read_text,
    inputs=gr.Image(type="numpy", label="Image"),
    outputs=gr.Textbox(label="Text", lines=5),
    title="Read the sign",
    description="Upload a photo or a scan, get the words in it.",
    api_name="read_text",
)

demo.launch()
