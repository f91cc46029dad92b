"""The catalog's synchronisation: a document of what Hugging Face's providers serve, and how it is applied.

hub.py       makes the document from the Hub and the router: the only file here that uses the network
document.py  reads a document, from there or from a file, and refuses what makes no sense
apply.py     brings catalog and price book in line with it, and keeps what changed
"""
