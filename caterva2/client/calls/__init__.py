"""Calls of a client by their subject; `Client` is made of them."""
