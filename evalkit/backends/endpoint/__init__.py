"""Any OpenAI-compatible server as a backend: `openai:MODEL@URL`."""
