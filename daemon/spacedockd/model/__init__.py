"""The system default: SmolLM3, or an honest stand-in, served by llama.cpp in a child of the daemon."""
