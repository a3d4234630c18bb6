"""agproxy: one local address where OpenAI, Anthropic and Gemini clients reach Google's Gemini models."""

__version__ = "0.1.0"
