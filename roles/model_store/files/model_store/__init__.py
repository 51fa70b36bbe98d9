"""The model store of a host: fetch a model from anywhere, verify it, keep its revisions.

The standard library is enough. A source on Hugging Face alone needs more: the package huggingface_hub.
"""
