import codecs

import gradio as gr

MORSE = {
    "a": ".-", "b": "-...", "c": "-.-.", "d": "-..", "e": ".", "f": "..-.", "g": "--.", "h": "....",
    "i": "..", "j": ".---", "k": "-.-", "l": ".-..", "m": "--", "n": "-.", "o": "---", "p": ".--.",
    "q": "--.-", "r": ".-.", "s": "...", "t": "-", "u": "..-", "v": "...-", "w": ".--", "x": "-..-",
    "y": "-.--", "z": "--..",
}


def rot13(text):
    return codecs.encode(text, "rot13")


def morse(message, dot):
    return " ".join(MORSE.get(c, "/") for c in message.lower()).replace(".", dot)


demo = gr.TabbedInterface(
    [
        gr.Interface(rot13, gr.Textbox(label="Text"), gr.Textbox(label="Rot13")),
        gr.Interface(
            morse,
            [gr.Textbox(label="Message"), gr.Radio([".", "o"], value=".", label="Dot")],
            gr.Textbox(label="Morse"),
        ),
    ],
    ["Rot13", "Morse"],
)

demo.launch()
