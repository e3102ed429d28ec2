import gradio as gr
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def draw(text):
    vowels = "aeiou"
    figure = plt.figure(figsize=(3, 2))
    plt.bar(list(vowels), [text.lower().count(vowel) for vowel in vowels])
    plt.title("Vowels")
    return figure


demo = gr.Interface(draw, gr.Textbox(label="Text"), gr.Plot(label="Vowels"))

demo.launch()
