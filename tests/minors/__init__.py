"""Which of Gradio's minor versions install, start and answer with the pins that the build gives them."""
